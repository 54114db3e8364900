"""Where answers are kept: in this process, or elsewhere."""

import time
from abc import ABC, abstractmethod
from collections import OrderedDict

MOST_ENTRIES = 10_000
MOST_BYTES = 64 * 1024 * 1024
"""Of a process; what was not asked for the longest goes first."""


class AnswerStore(ABC):
    """Neither method raises: an answer that cannot be kept or found is asked for anew."""

    @abstractmethod
    async def find(self, key: str) -> bytes | None: ...

    @abstractmethod
    async def keep(self, key: str, answer: bytes, *, ttl: int) -> None:
        """For `ttl` seconds at most."""

    async def close(self) -> None:  # noqa: B027 # memory has nothing to give back
        """Gives back connections."""


class MemoryStore(AnswerStore):
    """Bounded in entries and in bytes."""

    def __init__(self, *, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self.size = 0
        """Bytes, keys included."""

    async def find(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is None:
            return None
        answer, until = found
        if until <= time.monotonic():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return answer

    async def keep(self, key: str, answer: bytes, *, ttl: int) -> None:
        self._forget(key)
        self._kept[key] = answer, time.monotonic() + ttl
        self.size += len(key) + len(answer)
        while self.size > self._most_bytes or len(self._kept) > self._most_entries:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.size -= len(key) + len(found[0])
