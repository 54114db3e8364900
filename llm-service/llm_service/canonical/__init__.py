"""The language that dialects are translated through: one request, one closed union of events."""
