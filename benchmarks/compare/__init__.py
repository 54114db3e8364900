"""Gateways side by side over the same stand-in for a provider: speed, memory, and how cost grows with the work."""
