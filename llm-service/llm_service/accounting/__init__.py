"""What a request may use and what it has used, on its caller's account: completions and embeddings both spend."""
