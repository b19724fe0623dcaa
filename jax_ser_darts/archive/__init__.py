"""Results of a grid, small enough for a repository: enough for its tables and page, and to resume from."""
