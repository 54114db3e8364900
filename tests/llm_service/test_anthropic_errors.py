"""What Anthropic calls an error, and what is no answer at all."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.dialects import ANTHROPIC
from llm_service.errors import Kind, ProviderError
from shared.http.frames import Frame
from tests.llm_service.anthropic_wire import (
    as_stream,
    events_of,
    frames,
    sse,
)
from tests.llm_service.test_anthropic_answers import WHOLE, told

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("status", "kind", "words", "expected"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", Kind.BAD_REQUEST),
        (400, "invalid_request_error", "prompt is too long: 204000 tokens > 200000 maximum", Kind.CONTEXT_OVERFLOW),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
            Kind.CONTEXT_OVERFLOW,
        ),
        (400, "invalid_request_error", "Output blocked by content filtering policy", Kind.CONTENT_FILTER),
        (400, "invalid_request_error", "Your credit balance is too low", Kind.CREDENTIALS),
        (401, "authentication_error", "invalid x-api-key", Kind.CREDENTIALS),
        (402, "billing_error", "x", Kind.CREDENTIALS),
        (403, "permission_error", "x", Kind.CREDENTIALS),
        (404, "not_found_error", "model: claude-9", Kind.MODEL_UNKNOWN),
        (413, "request_too_large", "x", Kind.TOO_LARGE),
        (429, "rate_limit_error", "x", Kind.RATE_LIMITED),
        (500, "api_error", "x", Kind.SERVER),
        (504, "timeout_error", "x", Kind.TIMEOUT),
        (529, "overloaded_error", "Overloaded", Kind.OVERLOADED),
        (529, "tomorrow_error", "x", Kind.OVERLOADED),
        (418, "tomorrow_error", "x", Kind.BAD_REQUEST),
        (302, "tomorrow_error", "x", Kind.INVALID_ANSWER),
    ],
)
def test_errors_are_told_by_kind(status: int, kind: str, words: str, expected: Kind) -> None:
    body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    error = ANTHROPIC.parse_error(status, json.dumps(body).encode())
    assert (error.kind, error.status, error.message) == (expected, status, words)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, Kind.INVALID_ANSWER), (405, Kind.INVALID_ANSWER), (401, Kind.CREDENTIALS), (503, Kind.SERVER)],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_an_error_that_is_not_anthropics_is_told_by_its_status(status: int, expected: Kind, body: bytes) -> None:
    assert ANTHROPIC.parse_error(status, body).kind is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("overloaded_error", Kind.OVERLOADED), ("api_error", Kind.SERVER), ("tomorrow_error", Kind.SERVER)],
)
def test_an_error_inside_of_an_answer_is_an_error(kind: str, expected: Kind) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "Sorry"}}
    with pytest.raises(ProviderError) as streamed:
        events_of(ANTHROPIC, sse(error))
    with pytest.raises(ProviderError) as whole:
        told(error)
    assert streamed.value.kind is whole.value.kind is expected


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"[]", b"{}", b'{"type": "message"}', b'{"content": 3}', b'{"content": [3]}'),
        *(b'{"content": [{"type": "text", "text": 3}]}', b'{"content": [], "usage": {"input_tokens": "many"}}'),
        *(b'{"content": [{"type": "tool_use"}]}', b'{"content": ' + b"[" * 100_000, b'{"content": [], "usage": 3}'),
    ],
)
def test_a_body_that_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ProviderError) as refused:
        ANTHROPIC.parse_answer(body)
    assert refused.value.kind is Kind.INVALID_ANSWER


@settings(deadline=None)  # a loaded machine is no failure
@given(st.binary(max_size=60) | st.sampled_from(frames(as_stream(WHOLE))).map(lambda frame: frame.data))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    with suppress(ProviderError):
        ANTHROPIC.stream_parser().read(Frame(data, "", data))
    with suppress(ProviderError):
        ANTHROPIC.parse_answer(data)
    ANTHROPIC.parse_error(400, data)


@settings(deadline=None)  # a loaded machine is no failure
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 4), st.integers(0, 255))
def test_no_stream_out_of_order_or_damaged_breaks_the_parser(order: list[int], damaged: int, byte: int) -> None:
    known = frames(as_stream(WHOLE, cut=5))
    parser = ANTHROPIC.stream_parser()
    for number, at in enumerate(order):
        data = known[at % len(known)].data
        if number == damaged:
            data = data[: len(data) // 2] + bytes([byte]) + data[len(data) // 2 + 1 :]
        try:
            parser.read(Frame(data, "", data))
        except ProviderError:
            return
