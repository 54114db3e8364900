"""Being asked to stop, by a person or by another program."""

import signal


def raise_when_asked_to_stop() -> None:
    """From now on the first SIGINT or SIGTERM raises KeyboardInterrupt; later ones leave the cleaning up alone.

    A terminal that closes counts as SIGTERM, unless SIGHUP is ignored (nohup).
    """

    def stop(*_: object) -> None:
        ignore_further_requests()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def ignore_further_requests() -> None:
    """Not by SIG_IGN: the programs that stop PostgreSQL would inherit it."""
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
