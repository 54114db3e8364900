"""Messages: the tree of what was said."""
