"""What stops counting before it expires: the feed that the gateway and every service follow."""
