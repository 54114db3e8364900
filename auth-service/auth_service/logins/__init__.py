"""Attempts to log in: wrong passwords slow down, for an account and for an address, and never lock out for good."""
