"""Evaluators: what is asked of fitted calibrations, one file per question."""
