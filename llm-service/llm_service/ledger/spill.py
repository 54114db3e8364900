"""Entries on disk while PostgreSQL is away: a file per process, appended, forced to disk batch by batch.

A file is locked by whoever writes or replays it. One that nobody holds was left by a process that is gone: any may
replay it. A line that a crash tore is the last one, and was never confirmed.
"""

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from llm_service.ledger.records import Entry, encoded
from shared.ids import uuid7_hex

log = structlog.get_logger(__name__)

SUFFIX = ".jsonl"
REJECTED = "rejected.txt"
"""Entries that PostgreSQL refuses for what they are; kept for a human to look at."""

_decoder = msgspec.json.Decoder(Entry)


class SpillFile:
    """Open and locked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, directory: Path) -> "SpillFile":
        """Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / (uuid7_hex() + SUFFIX)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(path, descriptor)

    @classmethod
    def take_over(cls, path: Path) -> "SpillFile | None":
        """None where another process holds it, or has just been through with it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def append(self, entries: Sequence[Entry]) -> None:
        """On disk when it returns. Raises OSError."""
        lines = memoryview(b"".join(encoded(entry) + b"\n" for entry in entries))
        while lines:
            lines = lines[os.write(self._descriptor, lines) :]
        os.fsync(self._descriptor)

    def entries(self, *, at_once: int) -> Iterator[list[Entry]]:
        """All of them, so many at a time."""
        some: list[Entry] = []
        with self.path.open("rb") as file:
            for line in file:
                try:
                    some.append(_decoder.decode(line))
                except msgspec.DecodeError:
                    log.error("a torn line in the ledger's spill file", file=self.path.name)
                if len(some) == at_once:
                    yield some
                    some = []
        if some:
            yield some

    def remove(self) -> None:
        """When all of it is in the database."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Gives it up to whoever comes next."""
        os.close(self._descriptor)


class Spill:
    """The directory, as one process uses it. Its methods block: call them in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: SpillFile | None = None
        self._one_at_a_time = threading.Lock()
        self.waiting = 0
        """Entries that this process has written here and that are not known to be in the database."""

    def store(self, entries: Sequence[Entry]) -> None:
        """On disk when it returns. Raises OSError."""
        with self._one_at_a_time:
            if self._file is None:
                self._file = SpillFile.create(self._directory)
            self._file.append(entries)
            self.waiting += len(entries)

    def set_aside(self, entry: Entry, *, why: str) -> None:
        """Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / REJECTED).open("ab") as file:
            file.write(encoded(entry) + b"\t" + why.replace("\n", " ").encode() + b"\n")

    def close(self) -> int:
        """Gives the file up, to be replayed by anyone; what is stored from now on goes to another.

        Returns how many entries are waiting.
        """
        with self._one_at_a_time:
            if self._file is not None:
                self._file.close()
                self._file = None
            return self.waiting

    def left_behind(self) -> list[Path]:
        """Files of anyone, oldest first."""
        return sorted(self._directory.glob("*" + SUFFIX))
