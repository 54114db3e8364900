"""Single requests as the ledger has them, with their attempts."""
