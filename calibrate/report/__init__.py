"""The report: what a study leaves on disk, and the page that shows it."""
