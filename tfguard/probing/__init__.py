"""A real load in a child of its own, and what the end of that child means."""
