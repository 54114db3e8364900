"""API keys: what SDK clients show instead of a token."""
