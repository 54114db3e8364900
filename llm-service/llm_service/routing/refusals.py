"""What the client of a request is told that nobody answered."""

from llm_service.catalogue.service import Catalogue
from llm_service.errors import Kind, for_client
from llm_service.routing.attempts import Attempt
from shared.errors import DomainError, GatewayTimeout


def refusal(attempts: list[Attempt], catalogue: Catalogue, *, model: str) -> DomainError:
    """The failure that tells the client most: the last of a target that was asked, or else of one that was not."""
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    if not errors:
        return GatewayTimeout("The deadline passed before any provider was asked.")
    if all(error.kind is Kind.MODEL_UNKNOWN for error in errors):
        return catalogue.not_found(model)
    asked = [attempt.error for attempt in attempts if attempt.result == "failed" and attempt.error is not None]
    told = (asked or errors)[-1]
    told.retry_after = min((error.retry_after for error in errors if error.retry_after is not None), default=None)
    return for_client(told, attempts=failures(attempts))


def failures(attempts: list[Attempt]) -> list[dict[str, object]]:
    """As the client is told of them, oldest first."""
    return [attempt.as_json() for attempt in attempts if attempt.error is not None]
