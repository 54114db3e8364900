"""The `synapscale` command: every service in one process, with an embedded PostgreSQL."""
