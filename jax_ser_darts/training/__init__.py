"""What is trained from scratch, how, and how it is scored."""
