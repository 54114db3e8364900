"""Generations that have ended, for who asks again."""

from chat_service.messages.schemas import MessageError, MessageView
from chat_service.running.live import LiveGeneration
from shared.errors import DomainError
from shared.events import Delta, Start

RETRY_LATER = (429, 503)


class EndedEarly(DomainError):
    """What the first sender was told in place of the answer, or after its first part."""

    title = "The answer ended early"

    def __init__(self, error: MessageError) -> None:
        super().__init__(error.detail)
        self.status = error.status  # type: ignore[misc] # known at run time only
        self.code = error.code  # type: ignore[misc]

    @property
    def headers(self) -> dict[str, str]:
        replayed = {"idempotency-replayed": "true"}
        return replayed | {"retry-after": "1"} if self.status in RETRY_LATER else replayed


def recorded(message: MessageView) -> LiveGeneration:
    """Shows a saved answer as its generation did: `start`, the text in one `delta`, and how it ended."""
    generation = LiveGeneration(
        message.generation_id or "",
        message_id=message.id,
        conversation_id=message.conversation_id,
        model=message.model,
    )
    if message.provider is not None:
        generation.take(Start(id=message.id, model=message.model or "", provider=message.provider))
    if message.content:
        generation.take(Delta(content=message.content))
    if message.error is None:
        generation.complete(message)
    else:
        generation.fail(EndedEarly(message.error))
    return generation
