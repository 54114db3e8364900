"""Addresses and networks, and whether a request came straight from where its connection does."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORWARDING = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
"""Headers that say that somebody passed the request on."""
PEER = "synapscale.peer"
"""Where `scope` has the other end of the connection, if `scope["client"]` is somebody behind it."""


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


def came_directly(scope: Scope) -> bool:
    """Whether no proxy says that it passed the request on for somebody else."""
    return not any(name in FORWARDING for name, _ in scope["headers"])


def peer_of(scope: Scope) -> str:
    """The other end of the connection; empty where there is none."""
    client = scope.get("client")
    peer: str = scope.get(PEER) or (str(client[0]) if client else "")
    return peer
