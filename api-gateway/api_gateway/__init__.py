"""The only door: authenticate, limit, forward."""
