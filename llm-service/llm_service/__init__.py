"""One interface to every provider, and a fallback that keeps its word."""
