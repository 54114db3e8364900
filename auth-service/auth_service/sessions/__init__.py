"""Logins that last: refresh tokens, rotated at each use, and the sessions that they keep alive."""
