"""Service accounts: programs that own API keys. They have no password, so nobody logs in as one."""
