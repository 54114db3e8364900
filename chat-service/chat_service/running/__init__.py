"""Generations while they run, in the memory of the replica that owns them."""
