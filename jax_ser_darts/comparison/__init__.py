"""A grid of methods: its jobs, who does them, and what they come to."""
