"""Ports to listen on: the one that was asked for, and free ones for the services behind it."""

import errno
import socket

from launcher.errors import CannotStart, PortInUse

BACKLOG = 2048
"""Connections that wait to be accepted; uvicorn's own number."""


def listen(host: str, port: int) -> socket.socket:
    """Listens at once, so that a taken port is known before anything else is started.

    Raises PortInUse, or CannotStart where the address is not this machine's or the port not for everyone.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotStart(f"The address {host} is not known: {error.strerror}.") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from None
        raise CannotStart(f"Port {port} on {host} cannot be used: {error.strerror}.") from None
    return listener


def is_free(host: str, port: int) -> bool:
    try:
        listen(host, port).close()
    except PortInUse:
        return False
    return True


def free_ports_after(port: int, *, count: int) -> list[int]:
    """The next `count` free ports of the loopback above `port`, where a person looks for them.

    They are not held: below the ephemeral range, only a program that wants just this port can take one.
    """
    found: list[int] = []
    for candidate in range(max(port, 1023) + 1, 65536):
        if is_free("127.0.0.1", candidate):
            found.append(candidate)
        if len(found) == count:
            return found
    raise CannotStart(f"There are no {count} free ports above {port}.")
