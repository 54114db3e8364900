"""Where a request comes from: the other end of the connection, or whoever a trusted proxy says it was."""

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network

from starlette.types import Scope

from shared.networks import PEER, Networks, parsed_address


def limited_as(address: str) -> str:
    """Whom a limit per address means: an IPv6 subscriber has a whole /64."""
    parsed = parsed_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed) if parsed else "unknown"


def locate(scope: Scope, *, trusted: Networks) -> None:
    """Makes `scope["client"]` and `scope["scheme"]` the client's own where trusted proxies stand in between.

    X-Forwarded-For is read from the right, as each proxy adds whom it saw; what lies left of the first hop that is not
    trusted is the client's invention. `scope["synapscale.peer"]` stays the other end of the connection.
    """
    client = scope.get("client")
    peer = str(client[0]) if client else ""
    scope[PEER] = peer
    if peer not in trusted:
        return
    hops = [hop for value in _values(scope, b"x-forwarded-for") for hop in value.split(",")]
    scope["client"] = (client_behind(peer, hops, trusted), 0)
    schemes = [value.strip().lower() for value in _values(scope, b"x-forwarded-proto")]
    if schemes in (["http"], ["https"]):
        scope["scheme"] = schemes[0]


def client_behind(peer: str, hops: Iterable[str], trusted: Networks) -> str:
    """The first address from the right that is not a trusted proxy's; the leftmost one if all are."""
    client = peer
    for hop in reversed(list(hops)):
        address = parsed_address(hop)
        if address is None:
            break
        client = str(address)
        if client not in trusted:
            break
    return client


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
