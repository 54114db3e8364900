"""How a call over a wire can fail: a closed set, told apart by what the caller may do next."""


class WireError(Exception):
    """A call brought no complete answer."""


class ConnectFailed(WireError):
    """Nobody listens there, the name is unknown, or TLS was refused. Nothing was sent."""


class ConnectTimedOut(WireError):
    """No connection in time. Nothing was sent."""


class PoolExhausted(WireError):
    """All connections were busy for the whole time. Nothing was sent."""


class BrokenOff(WireError):
    """The connection ended before the answer did.

    `reused` and not `after_headers`: nearly always a kept connection that the server closed at this very moment, so
    that the request was not read; whoever may send it twice may try once more.
    """

    def __init__(self, message: str, *, after_headers: bool, reused: bool, reset: bool) -> None:
        super().__init__(message)
        self.after_headers = after_headers
        self.reused = reused
        self.reset = reset


class TooSlow(WireError):
    """The server was silent for too long, or (`sending`) took nothing of the request for too long."""

    def __init__(self, message: str, *, sending: bool = False) -> None:
        super().__init__(message)
        self.sending = sending


class NotHttp(WireError):
    """What came is no answer of HTTP/1.1, or has a head larger than one may be."""


class TooLarge(WireError):
    """The answer has more bytes than the reader allows."""


class WrongLength(WireError):
    """The request's body is not as long as was announced: the caller's mistake."""
