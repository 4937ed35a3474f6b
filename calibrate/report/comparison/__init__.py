"""Finished runs of one dataset side by side: what differs, by how much, and the page of it."""
