"""What is read by its types says what is read with a look for everything."""

import importlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.canonical.events import Event, UsageCounted
from llm_service.dialects import OPENAI
from llm_service.dialects.openai.quick import words_only
from tests.llm_service.recordings import Recording, recordings

parsing = importlib.import_module("llm_service.dialects.openai.parse_answer")
Json = dict[str, Any]

USAGE: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ANSWER: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Olá!", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": None},
}


def slowly(body: bytes) -> tuple[Event, ...]:
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(parsing, "words_only", lambda _: None)
        return OPENAI.parse_answer(body)


def test_words_are_read_quickly_and_say_the_same() -> None:
    body = json.dumps(ANSWER).encode()
    assert words_only(body) == slowly(body)


def test_usage_in_which_nothing_was_counted_is_none() -> None:
    body = json.dumps({**ANSWER, "usage": dict.fromkeys(USAGE)}).encode()
    assert not any(isinstance(event, UsageCounted) for event in OPENAI.parse_answer(body))


@given(
    message=st.dictionaries(
        st.sampled_from(["refusal", "annotations", "tool_calls", "reasoning_content", "audio", "tomorrow"]),
        st.none() | st.just([]) | st.text(max_size=2),
    ),
    content=st.none() | st.text(max_size=3),
    reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]),
    usage=st.none() | st.dictionaries(st.sampled_from([*USAGE, "queue_time"]), st.integers(0, 9)),
)
def test_whatever_an_answer_has_more_the_same_is_said(message: Json, content: Any, reason: Any, usage: Any) -> None:
    choice = {"index": 0, "message": {"role": "assistant", **message, "content": content}, "finish_reason": reason}
    body = json.dumps({**ANSWER, "choices": [choice], "usage": usage}).encode()
    if (quickly := words_only(body)) is not None:
        assert quickly == slowly(body)


@pytest.mark.parametrize("recording", recordings("openai", "groq", "huggingface"))
def test_recorded_answers_are_read_alike(recording: Recording) -> None:
    if recording.status != 200 or recording.is_stream:
        return
    body = json.dumps(recording.body).encode()
    if (quickly := words_only(body)) is not None:
        assert quickly == slowly(body)
