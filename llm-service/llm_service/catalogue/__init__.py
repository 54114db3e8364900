"""Which models there are, and who serves them."""
