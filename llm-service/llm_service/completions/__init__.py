"""One completion: a client's request answered, streamed or whole, in the client's own dialect."""
