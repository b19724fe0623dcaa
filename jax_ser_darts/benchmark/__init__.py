"""What a step of the search costs, and beside the authors' code: see __main__.py."""
