"""Numbers and speed that are measured, each by a script of its own."""
