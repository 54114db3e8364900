"""Prefixed UUIDv7 identifiers (RFC 9562 §5.7): `msg_` followed by 32 hexadecimal digits, sortable by time."""

import os
import random
import threading
import time

_lock = threading.Lock()
_last = 0
_random = random.Random(os.urandom(32))  # noqa: S311 # ids must not come twice; nobody relies on their being secret

# A fork would go on with the same numbers.
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


def new_id(prefix: str) -> str:
    """Returns `<prefix>_<uuid7 as 32 hex digits>`; within one process later ids always sort after earlier ones.

    It can be guessed from others: what must be a secret comes from `shared.secrets`.
    """
    return f"{prefix}_{uuid7_hex()}"


def uuid7_hex() -> str:
    """A UUIDv7 whose 12 bits of `rand_a` hold the fraction of the millisecond (RFC 9562 §6.2, method 3)."""
    global _last
    with _lock:
        ticks = time.time_ns() * 4096 // 1_000_000  # milliseconds, with 12 bits of fraction
        if ticks <= _last:
            ticks = _last + 1
        _last = ticks
    return f"{ticks >> 12:012x}7{ticks & 0xFFF:03x}{_random.getrandbits(62) | 1 << 63:016x}"
