"""A trained network in a folder: how it is made and read, and how it predicts."""
