"""Which targets are tried, in which order, for how long, and what is done when one fails."""
