"""Prefixed UUIDv7 identifiers (RFC 9562 §5.7): `msg_` followed by 32 hexadecimal digits, sortable by time."""

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Returns `<prefix>_<uuid7 as 32 hex digits>`; within one process later ids always sort after earlier ones."""
    return f"{prefix}_{uuid7_hex()}"


def uuid7_hex() -> str:
    """A UUIDv7 whose 12 bits of `rand_a` hold the fraction of the millisecond (RFC 9562 §6.2, method 3)."""
    global _last
    with _lock:
        ticks = max(time.time_ns() * 4096 // 1_000_000, _last + 1)  # milliseconds, with 12 bits of fraction
        _last = ticks
    milliseconds, fraction = ticks >> 12, ticks & 0xFFF
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return f"{(milliseconds << 80) | (0x7000 | fraction) << 64 | (0b10 << 62) | random:032x}"
