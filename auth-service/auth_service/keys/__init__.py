"""Signing keys: made here, kept encrypted, published as a JWKS."""
