"""`traceparent`: the trace that a request belongs to (W3C Trace Context, level 1)."""

import os
import random
import re

from starlette.types import Scope

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NOTHING = re.compile(rb"0+")
LONGEST_STATE = 512

_random = random.Random()  # noqa: S311 # ids must differ, and need not be secret (level 2 §3.2.2.3 asks for no more)
os.register_at_fork(after_in_child=_random.seed)

Headers = list[tuple[bytes, bytes]]


def trace_headers(scope: Scope) -> Headers:
    """`traceparent` for the next hop, as a new span of the client's trace if it named one, else of a new trace; the
    client's `tracestate` goes with its own trace only."""
    names = dict(scope["headers"])
    if b"traceparent" not in names:  # nearly always
        return [_new_trace()]
    given = [value for name, value in scope["headers"] if name == b"traceparent"]
    trace = _continued(given[0]) if len(given) == 1 else None
    if trace is None:
        return [_new_trace()]
    trace_id, flags = trace
    states = [(name, value) for name, value in scope["headers"] if name == b"tracestate"]
    if sum(len(value) for _, value in states) > LONGEST_STATE:
        states = []
    return [(b"traceparent", b"00-%s-%s-%s" % (trace_id, b"%016x" % _random.getrandbits(64), flags)), *states]


def _new_trace() -> tuple[bytes, bytes]:
    return b"traceparent", b"00-%032x-%016x-01" % (_random.getrandbits(128), _random.getrandbits(64))


def _continued(traceparent: bytes) -> tuple[bytes, bytes] | None:
    """Trace id and flags. A version after 00 may carry more behind them; ff is none (§3.2.2)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more) or _NOTHING.fullmatch(trace_id) or _NOTHING.fullmatch(span_id):
        return None
    return trace_id, b"%02x" % (int(flags, 16) & 0x01)
