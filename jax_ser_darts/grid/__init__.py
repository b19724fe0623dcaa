"""The jobs of a run, and the processes that do them."""
