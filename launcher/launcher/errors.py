"""What keeps the platform from starting, told to a person: no traceback helps them."""

from pydantic import ValidationError


class CannotStart(Exception):
    """The message says what is wrong and how to mend it."""


class PortInUse(CannotStart):
    """Somebody else listens where the gateway should."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Port {port} on {host} is in use by another program. "
            f"Stop that one, or choose another port: synapscale up --port {port + 1 if port < 65535 else 8000}"
        )


class PortTaken(CannotStart):
    """Another program has the port of a service that is to be started again."""

    def __init__(self, host: str, port: int, *, service: str) -> None:
        super().__init__(
            f"Port {port} on {host}, which {service} is to listen on, stays in use by another program. "
            "Stop that one, and start the platform again."
        )


class AlreadyRunning(CannotStart):
    """Two platforms in one data directory would stop each other's database."""


def mistakes_in(error: ValidationError) -> str:
    """The variables that cannot be used, by name and without their values: some are secrets."""
    lines = []
    for mistake in error.errors(include_input=False, include_context=False, include_url=False):
        told = mistake["msg"].removeprefix("Value error, ")
        lines.append(": ".join([*(f"SYNAPSCALE_{field}".upper() for field in mistake["loc"][:1]), told]))
    return "\n".join(lines)
