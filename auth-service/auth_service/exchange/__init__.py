"""Token exchange (RFC 8693) for services: what they hold for a user, turned into an access token."""
