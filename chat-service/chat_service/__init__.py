"""Conversations, messages, and generations that outlive connections."""
