"""What can be chosen: candidate operations, and the genotype that names a choice."""
