"""Inference of a signal strength: templates of a score, their likelihood, its profile."""
