"""Being asked to stop, by a person or by another program."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM raises KeyboardInterrupt; later ones leave the cleaning up alone.

    A terminal that closes counts as SIGTERM, unless SIGHUP is ignored (nohup). The handlers stay: the process ends next.
    """
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 # what a signal handler is given
        nonlocal asked
        if not asked:
            asked = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    yield
