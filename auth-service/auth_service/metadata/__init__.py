"""What this server offers to clients of OAuth 2, as they find it out by themselves."""
