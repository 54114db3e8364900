"""What each role may do."""

from typing import Literal

_READ = ("llm:read", "chat:read", "usage:read")
_USE = (*_READ, "llm:invoke", "chat:write")

Role = Literal["owner", "admin", "developer", "member", "viewer"]
ROLES: dict[str, tuple[str, ...]] = {
    "owner": (*_USE, "admin"),
    "admin": (*_USE, "admin"),
    "developer": _USE,
    "member": _USE,
    "viewer": _READ,
}
"""Scopes by role. A service that is built brings its own."""
