"""Access tokens: given for a password or a refresh token, and ended before they expire."""
