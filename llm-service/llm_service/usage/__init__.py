"""What an organization has used: sums by time, model, provider, user and key."""
