"""One platform per data directory: a lock that ends with the process, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher.errors import AlreadyRunning

NAME = "running"


@contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Holds the data directory for this process. Raises AlreadyRunning, naming the process that holds it."""
    data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    with (data_dir / NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"SynapScale is already running in {data_dir} (process {_written(file.fileno())}). "
                "Stop that one, or set SYNAPSCALE_DATA_DIR to another directory for a second platform."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


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
