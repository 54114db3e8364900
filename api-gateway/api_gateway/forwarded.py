"""Where a request comes from: the other end of the connection, or whoever a trusted proxy says it was."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORWARDING = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
"""Headers that say that somebody passed the request on."""
PEER = "synapscale.peer"


class Networks:
    """A list of networks: `10.0.0.0/8, 192.0.2.7`. Raises ValueError for what is none."""

    def __init__(self, listed: str) -> None:
        self._networks: list[Network] = [ip_network(one.strip()) for one in listed.split(",") if one.strip()]
        self._holds = lru_cache(maxsize=4096)(self._look_up)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._holds(address)

    def _look_up(self, address: str) -> bool:
        parsed = parsed_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def parsed_address(text: str) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; an IPv4 one in IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


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


def came_directly(scope: Scope) -> bool:
    """Whether no proxy says that it passed the request on for somebody else."""
    return not any(name in FORWARDING for name, _ in scope["headers"])


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
