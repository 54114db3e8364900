"""How an answer can end other than well."""

from shared.errors import BadGateway, DomainError, NotFound, Unavailable
from shared.events import Failed


class AnswerFailed(DomainError):
    """The model's service reported in its stream that it could not go on."""

    title = "The answer ended early"

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.status = failed.status  # type: ignore[misc] # known at run time only
        self.code = failed.code  # type: ignore[misc]


class Interrupted(Unavailable):
    code, title = "interrupted", "The answer was interrupted"


class NotSaved(Unavailable):
    code, title = "answer_not_saved", "The answer could not be saved"


class AnswerTooLong(BadGateway):
    """A provider that does not end is ended."""

    code, title = "answer_too_long", "The answer is too long"


class AnswerDeleted(NotFound):
    code, title = "message_deleted", "The message was deleted while it was being answered"


class Draining(Unavailable):
    code, title = "draining", "The service is stopping"
