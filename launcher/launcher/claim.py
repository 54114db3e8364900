"""One platform per data directory: a lock that ends with the process, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.errors import AlreadyRunning

NAME = "running"


@contextmanager
def claimed(data_dir: Path, *, owner: int) -> Iterator[bool]:
    """Holds the data directory inside, in the name of the process `owner`: the one to stop for whoever wants it.

    Yields whether that process was also the last one to hold it. Raises AlreadyRunning.
    """
    data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    with (data_dir / NAME).open("a+") as file:
        last = _written(file.fileno())
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"SynapScale is already running in {data_dir} (process {last}). "
                "Stop that one, or set SYNAPSCALE_DATA_DIR to another directory for a second platform."
            ) from None
        file.truncate(0)
        file.write(str(owner))
        file.flush()
        yield last == str(owner)


def holder(data_dir: Path) -> str | None:
    """The id of the process that holds the data directory, or None if nobody does."""
    try:
        with (data_dir / NAME).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _written(file.fileno())
    except FileNotFoundError:
        pass
    return None


def _written(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode()
