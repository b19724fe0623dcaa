"""A trained network in a folder: how it is made, read, and hears recordings."""
