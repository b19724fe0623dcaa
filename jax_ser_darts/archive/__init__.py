"""Results that are kept in a repository."""
