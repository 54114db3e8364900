"""What Gemini calls an error, and what is no answer at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.dialects import GEMINI
from llm_service.errors import Kind, ProviderError
from shared.http.frames import Frame

Json = dict[str, Any]


def quota(
    *details: Json, message: str = "Quota exceeded.", code: int = 429, status: str = "RESOURCE_EXHAUSTED"
) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": details}}).encode()


def precondition(message: str) -> bytes:
    return quota(message=message, code=400, status="FAILED_PRECONDITION")


INFO = "type.googleapis.com/google.rpc."
INVALID_KEY = quota(
    {"@type": INFO + "ErrorInfo", "reason": "API_KEY_INVALID"},
    message="API key not valid. Please pass a valid API key.",
    code=400,
    status="INVALID_ARGUMENT",
)
TOO_LONG = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, INVALID_KEY, Kind.CREDENTIALS),
        (400, quota(message="API key expired. Please renew.", code=400, status="INVALID_ARGUMENT"), Kind.CREDENTIALS),
        (400, quota(message=TOO_LONG, code=400, status="INVALID_ARGUMENT"), Kind.CONTEXT_OVERFLOW),
        (400, quota(message="Unknown name.", code=400, status="INVALID_ARGUMENT"), Kind.BAD_REQUEST),
        (400, precondition("User location is not supported for the API use."), Kind.CREDENTIALS),
        (400, precondition("The File x is not in an ACTIVE state and usage is not allowed."), Kind.BAD_REQUEST),
        (
            400,
            quota(message='Invalid value "API key not valid"', code=400, status="INVALID_ARGUMENT"),
            Kind.BAD_REQUEST,
        ),
        (403, quota(message="CachedContent not found", code=403, status="PERMISSION_DENIED"), Kind.BAD_REQUEST),
        (403, quota(code=403, status="PERMISSION_DENIED"), Kind.CREDENTIALS),
        (403, quota(message="You may not access the File x", code=403, status="PERMISSION_DENIED"), Kind.BAD_REQUEST),
        (404, quota(code=404, status="NOT_FOUND"), Kind.MODEL_UNKNOWN),
        (404, b"<html>", Kind.INVALID_ANSWER),
        (429, quota(), Kind.RATE_LIMITED),
        (429, b"[" + quota() + b"]", Kind.RATE_LIMITED),
        (
            400,
            quota(
                message="Request payload size exceeds the limit: 20971520 bytes.", code=400, status="INVALID_ARGUMENT"
            ),
            Kind.TOO_LARGE,
        ),
        (429, quota(message="Your prepayment credits are depleted."), Kind.CREDENTIALS),
        (500, quota(code=500, status="INTERNAL"), Kind.SERVER),
        (502, b"<html>", Kind.SERVER),
        (503, quota(code=503, status="UNAVAILABLE"), Kind.OVERLOADED),
        (504, quota(code=504, status="DEADLINE_EXCEEDED"), Kind.TIMEOUT),
        (302, b"", Kind.INVALID_ANSWER),
        (400, b'{"error": "no"}', Kind.BAD_REQUEST),
        (400, b'{"error": {"details": 3, "code": "x"}}', Kind.BAD_REQUEST),
    ],
)
def test_an_error_is_of_the_kind_that_its_words_say(status: int, body: bytes, kind: Kind) -> None:
    error = GEMINI.parse_error(status, body)
    assert error.kind is kind
    assert error.status == status
    assert ("Quota exceeded." in error.message) is (b'"Quota exceeded."' in body)
    assert not error.message.startswith("The provider answered") or not body.startswith(b"[")


def test_the_wait_and_the_field_are_read_from_the_details() -> None:
    retry = {"@type": INFO + "RetryInfo", "retryDelay": "34.074824224s"}
    assert GEMINI.parse_error(429, quota({"@type": INFO + "QuotaFailure"}, retry)).retry_after == pytest.approx(
        34.07, abs=0.1
    )
    assert GEMINI.parse_error(429, quota({"retryDelay": "soon"})).retry_after is None
    field = {"@type": INFO + "BadRequest", "fieldViolations": [{"field": "generation_config.top_k"}]}
    assert GEMINI.parse_error(400, quota(field, code=400, status="INVALID_ARGUMENT")).param == "generation_config.top_k"


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
WORDS = """candidates content parts text thought thoughtSignature functionCall name args inlineData mimeType data index
finishReason groundingMetadata groundingChunks groundingSupports segment startIndex endIndex web uri citations
groundingChunkIndices citationMetadata logprobsResult chosenCandidates topCandidates token logProbability
usageMetadata promptTokenCount promptTokensDetails modality error code message details promptFeedback blockReason"""
NAMES = st.sampled_from(WORDS.split())
WILD = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=25
)
NEARLY = st.builds(
    lambda part, more: {"candidates": [{"content": {"parts": [part]}, **more}]},
    st.dictionaries(NAMES, WILD, max_size=3),
    st.dictionaries(NAMES, WILD, max_size=3),
)


@given(st.binary(max_size=200) | st.builds(lambda value: json.dumps(value).encode(), WILD | NEARLY))
def test_no_bytes_bring_more_than_a_provider_error(body: bytes) -> None:
    parser = GEMINI.stream_parser()
    for read in (
        GEMINI.parse_answer,
        lambda data: parser.read(Frame(b"", "", data)),
        lambda d: GEMINI.parse_error(400, d),
    ):
        try:
            read(body)
        except ProviderError as error:
            assert error.message  # noqa: PT017 # most bodies are refused, and each has to say why
