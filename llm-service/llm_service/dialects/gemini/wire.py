"""The shape of a GenerateContentResponse (https://ai.google.dev/api/generate-content), as far as it is read."""

from typing import Any

import msgspec

from llm_service.dialects.failures import unreadable

Json = dict[str, Any]


class _Wire(msgspec.Struct, rename="camel", kw_only=True):
    pass


class Content(_Wire):
    parts: list[Json] | None = None
    role: str | None = None


class Likelihood(_Wire):
    token: str | None = None
    log_probability: float | None = None


class Likelihoods(_Wire):
    candidates: list[Likelihood] | None = None


class Logprobs(_Wire):
    """Of a candidate; both lists have an entry for each token."""

    chosen_candidates: list[Likelihood] | None = None
    top_candidates: list[Likelihoods] | None = None


class Candidate(_Wire):
    """One of the answers."""

    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: Json | None = None
    citation_metadata: Json | None = None
    logprobs_result: Logprobs | None = None


class ModalityCount(_Wire):
    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(_Wire):
    """Tokens. Candidates do not include thoughts, the prompt does not include what tools brought in."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    cache_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None
    tool_use_prompt_tokens_details: list[ModalityCount] | None = None


class PromptFeedback(_Wire):
    block_reason: str | None = None
    block_reason_message: str | None = None


class Response(_Wire):
    """A whole answer, or one chunk of a stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Response | list[Response], strict=False).decode


def responses(body: bytes) -> list[Response]:
    """One, or those of a list (a stream without `alt=sse`). Raises ProviderError."""
    try:
        read = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise unreadable(body) from None
    return read if isinstance(read, list) else [read]
