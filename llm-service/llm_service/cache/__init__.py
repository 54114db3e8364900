"""Answers that are given again to whoever of the same organization asks exactly the same."""
