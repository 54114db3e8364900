"""Leave for a service to act for a user after the user's token has expired (RFC 8693)."""
