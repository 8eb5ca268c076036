"""One HTML page a person can read."""
