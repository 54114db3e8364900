"""Guessing passwords is slowed down, per account and per address; nobody is locked out for good."""
