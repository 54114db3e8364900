"""Access tokens: given for a password."""
