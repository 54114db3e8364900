"""Typed calls from one service to another, over whichever upstream stands behind the name."""
