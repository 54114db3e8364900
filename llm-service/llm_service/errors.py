"""What can go wrong at a provider, by kind; what is done about each kind stands in `routing/policy.py`."""

import math
from enum import StrEnum
from typing import Any

from shared.errors import BadGateway, DomainError, Forbidden, GatewayTimeout, NotFound, Unavailable


class Kind(StrEnum):
    """Classes of failure; the values are the `code` that clients see."""

    UNREACHABLE = "provider_unreachable"
    TIMEOUT = "provider_timeout"
    SERVER = "provider_error"
    INVALID_ANSWER = "provider_invalid_answer"
    TRUNCATED = "provider_cut_stream"
    RATE_LIMITED = "provider_rate_limited"
    CREDENTIALS = "provider_rejected_credentials"
    MODEL_UNKNOWN = "provider_model_not_found"
    BAD_REQUEST = "provider_rejected_request"
    CONTEXT_OVERFLOW = "context_length_exceeded"
    TOO_LARGE = "provider_request_too_large"
    CONTENT_FILTER = "content_filter"
    OVERLOADED = "provider_overloaded"
    NOT_EXPRESSIBLE = "not_expressible"
    CIRCUIT_OPEN = "provider_circuit_open"
    NO_ANSWER = "provider_no_answer"


class ProviderError(Exception):
    """An attempt failed. `status` is the provider's, where it gave one; `retry_after` in seconds.

    `hurried` says that the client gave too little time: that is no fault of the target.
    `page` is the beginning of what was no error of its API: the logs have it, clients do not, for it may say anything.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        page: str | None = None,
        hurried: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.param = param
        self.page = page
        self.hurried = hurried


class ModelNotFound(NotFound):
    """The answer names the models that there are (at most 100 of them)."""

    code, title = "model_not_found", "There is no such model"

    def __init__(self, model: str, *, known: list[str]) -> None:
        shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
        there_are = f"There are: {shown}." if known else "No model is configured."
        super().__init__(f"The model {model!r} does not exist. {there_are}", models=known[:100], param="model")


class ModelNotAllowed(Forbidden):
    """The API key is for other models."""

    code, title = "model_not_allowed", "The API key may not use this model"

    def __init__(self, model: str) -> None:
        super().__init__(f"The API key may not use the model {model!r}.", param="model")


class RejectedRequest(DomainError):
    """The provider says that the request itself is wrong: no other provider is asked."""

    status, code, title = 400, "provider_rejected_request", "The provider does not accept the request"


class RateLimited(DomainError):
    status, code, title = 429, "provider_rate_limited", "The provider's rate limit is reached"

    def __init__(self, detail: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class NotExpressible(ProviderError):
    """The dialect of the chosen provider has no word for `field` of the request; another provider may have one."""

    def __init__(self, field: str, *, target: str) -> None:
        message = f"{target} cannot be asked for {field!r}. Leave it out, or allow that it is dropped: drop_params."
        super().__init__(Kind.NOT_EXPRESSIBLE, message, param=field)
        self.field = field


OWN_WORDS = {
    Kind.CREDENTIALS: "The provider does not accept the credentials that are configured for it.",
    Kind.RATE_LIMITED: "The provider's rate limit is reached.",
    Kind.TOO_LARGE: "The request is larger than the provider ever takes from this account. Shorten it.",
    Kind.INVALID_ANSWER: "The provider sent something that is no answer.",
}
"""Where a provider's words would tell clients of the operator's account or network; they stand in the logs."""


def for_client(error: ProviderError, *, attempts: list[dict[str, Any]]) -> DomainError:
    """The last attempt's failure as the client's answer; `attempts` lists them all, oldest first."""
    told: DomainError
    message = OWN_WORDS.get(error.kind, error.message)
    match error.kind:
        case Kind.BAD_REQUEST | Kind.CONTEXT_OVERFLOW | Kind.TOO_LARGE | Kind.CONTENT_FILTER | Kind.NOT_EXPRESSIBLE:
            told = RejectedRequest(message, attempts=attempts, param=error.param)
        case Kind.RATE_LIMITED:
            told = RateLimited(message, retry_after=error.retry_after or 1, attempts=attempts)
        case Kind.UNREACHABLE | Kind.OVERLOADED | Kind.CIRCUIT_OPEN:
            told = Unavailable(message, retry_after=error.retry_after or 1, attempts=attempts)
        case Kind.TIMEOUT:
            told = GatewayTimeout(message, attempts=attempts)
        case _:
            told = BadGateway(message, attempts=attempts)
    told.code = error.kind.value  # type: ignore[misc] # the class says what it is, the kind says why
    return told
