"""Public files by name: where they are, their checksums, and how to fetch them."""
