"""Command-line tools, and the options that they have in common."""
