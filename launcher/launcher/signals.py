"""Being asked to stop, by a person or by another program."""

import signal
from types import FrameType


def raise_when_asked_to_stop() -> None:
    """From now on the first SIGINT or SIGTERM raises KeyboardInterrupt; later ones leave the cleaning up alone.

    A terminal that closes counts as SIGTERM, unless SIGHUP is ignored (nohup).
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
