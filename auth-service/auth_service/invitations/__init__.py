"""Invitations: a secret that lets its holder register once, into an organization and a role."""
