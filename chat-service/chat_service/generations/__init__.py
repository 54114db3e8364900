"""Generations: one attempt at an answer each, owned by one replica."""
