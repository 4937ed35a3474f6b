"""Datasets: each module knows one source of events."""
