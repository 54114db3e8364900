"""HTTP between services: the same calls, to another process or within this one."""
