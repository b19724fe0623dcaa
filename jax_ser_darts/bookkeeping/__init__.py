"""A run's folder: what it is of, how far it is, and what it has written."""
