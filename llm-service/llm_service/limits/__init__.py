"""Budgets and limits: what a request may use at most is reserved before it begins, and settled when it has ended."""
