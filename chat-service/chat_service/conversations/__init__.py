"""Conversations: who talks about what, newest first."""
