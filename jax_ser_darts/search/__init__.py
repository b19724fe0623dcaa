"""The search: its step, its loop, what ends it, and how its genotype is chosen."""
