"""A run's folder: its manifest, checkpoints, metrics and progress."""
