"""How large a request is, and what it leaves out to fit into a model's context window."""
