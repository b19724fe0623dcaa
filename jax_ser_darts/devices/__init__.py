"""Devices and processes, and what is compiled for them."""
