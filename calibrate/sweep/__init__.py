"""Sweeps: a ledger of jobs in a folder, and what is collected from it."""
