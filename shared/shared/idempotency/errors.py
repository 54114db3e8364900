"""Why a request with an `Idempotency-Key` is not carried out."""

from shared.errors import Conflict, MalformedRequest, Unprocessable

RETRY_AFTER = 1
"""Seconds."""


class MalformedKey(MalformedRequest):
    code, title = "malformed_idempotency_key", "The Idempotency-Key cannot be read"

    def __init__(self) -> None:
        super().__init__("Send one Idempotency-Key of 1 to 255 visible ASCII characters.")


class KeyReused(Unprocessable):
    code, title = "idempotency_key_reused", "The Idempotency-Key belongs to another request"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another request within the last 24 hours; choose a new one.")


class StillRunning(Conflict):
    code, title = "request_running", "The first request with this Idempotency-Key is still running"

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is still running; send it again in a moment.")

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(RETRY_AFTER)}


class AlreadyCreated(Conflict):
    """The answer held a secret, so it was not kept."""

    code, title = "already_created", "The first request with this Idempotency-Key has created it"

    def __init__(self, created_id: str | None) -> None:
        super().__init__("It exists, and its secret was shown once: make another if that was lost.", id=created_id)

    @property
    def headers(self) -> dict[str, str]:
        return {"idempotency-replayed": "true"}
