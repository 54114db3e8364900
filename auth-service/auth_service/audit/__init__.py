"""What happened that matters for security: appended, never changed."""
