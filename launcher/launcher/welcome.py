"""What a person needs next, once the platform answers."""

import shlex

from launcher.settings import Settings

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 # compared with, not bound


def address(settings: Settings) -> str:
    """Where the gateway is reached from this machine."""
    host = "localhost" if settings.host in (*EVERYWHERE, "127.0.0.1") else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
