"""What is no answer is a failure of its provider, and never one of ours, whatever it was that a server has sent."""

import pytest

from llm_service.dialects import ANTHROPIC, GEMINI, MISTRAL, OPENAI, Dialect
from llm_service.errors import Kind, ProviderError
from shared.http.frames import FrameReader

NONSENSE = {
    "nothing": b"",
    "a page": b"<html>Bad Gateway</html>",
    "a list": b"[]",
    "cut": b'{"error": {"code": "',
    "no UTF-8": b'{"error": "acesso n\xe3o autorizado"}',
    "too deep": b'{"error": ' + b"[" * 60_000,
}
every_dialect = pytest.mark.parametrize("dialect", [OPENAI, MISTRAL, ANTHROPIC, GEMINI], ids=lambda one: one.name)
all_nonsense = pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE)


@every_dialect
@all_nonsense
def test_nonsense_with_a_status_is_a_failure_by_that_status(dialect: Dialect, sent: bytes) -> None:
    assert dialect.parse_error(500, sent).kind is Kind.SERVER


@every_dialect
@all_nonsense
def test_nonsense_in_place_of_an_answer_is_none(dialect: Dialect, sent: bytes) -> None:
    with pytest.raises(ProviderError) as refused:
        dialect.parse_answer(sent)
    assert len(refused.value.message) < 500


@every_dialect
@pytest.mark.parametrize("name", ["a page", "cut", "no UTF-8", "too deep"])
def test_nonsense_within_a_stream_ends_it(dialect: Dialect, name: str) -> None:
    (frame,) = FrameReader().feed(b"event: message_start\ndata: " + NONSENSE[name] + b"\n\n")
    parser = dialect.stream_parser()
    with pytest.raises(ProviderError):
        parser.read(frame)
