"""Gemini's answers, whole and streamed ⇄ canonical events."""

import json
from typing import Any

import pytest
from google.genai import types

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event, Finished, Started, TextDelta, ToolCallDelta
from llm_service.canonical.request import Audio, Image, Opaque, Reasoning, Signature, Text, ToolCall
from llm_service.dialects import GEMINI
from llm_service.errors import Kind, ProviderError
from shared.errors import Unavailable
from shared.events import Usage
from shared.http.frames import Frame
from tests.llm_service.gemini_words import collected, part_answer, sse, streamed, whole

Json = dict[str, Any]
SEAL = Signature(dialect="gemini", value="c2VhbA==")
CALL = {"functionCall": {"name": "weather", "args": {"city": "São Paulo"}}}


def facts(answer: Answer) -> tuple[Any, ...]:
    """What an answer says, however it was cut: signatures stand before or behind their text."""
    seals = [part.signature for part in answer.parts if isinstance(part, Reasoning) and part.signature]
    cited = [one for part in answer.parts if isinstance(part, Text) for one in part.citations]
    return (
        (answer.id, answer.model, answer.text, answer.reasoning, answer.tool_calls),
        (answer.media, seals, cited, answer.logprobs, answer.finished, answer.usage),
        [part for part in answer.parts if isinstance(part, Opaque)],
    )


WHOLES: dict[str, tuple[Json, list[Json]]] = {
    "text": (
        part_answer({"text": "Olá, mundo"}),
        [part_answer({"text": "Olá"}, reason=None), part_answer({"text": ", mundo"})],
    ),
    "thoughts and a signature at the end": (
        part_answer({"text": "Hm. So.", "thought": True}, {"text": "Yes.", "thoughtSignature": "c2VhbA=="}),
        [
            part_answer({"text": "Hm. ", "thought": True}, reason=None),
            part_answer({"text": "So.", "thought": True}, reason=None),
            part_answer({"text": "Yes."}, reason=None),
            part_answer({"text": "", "thoughtSignature": "c2VhbA=="}),
        ],
    ),
    "parallel calls": (
        part_answer({**CALL, "thoughtSignature": "c2VhbA=="}, CALL, CALL),
        [
            part_answer({**CALL, "thoughtSignature": "c2VhbA=="}, reason=None),
            part_answer(CALL, CALL, reason=None),
            part_answer({"text": ""}),
        ],
    ),
    "an image among text": (
        part_answer({"text": "Here:"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
        [
            part_answer({"text": "He"}, reason=None),
            part_answer({"text": "re:"}, reason=None),
            part_answer({"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
        ],
    ),
    "native parts": (
        part_answer({"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}, {"text": "One."}),
        [
            part_answer({"executableCode": {"code": "1"}}, reason=None),
            part_answer({"codeExecutionResult": {"output": "1"}}, {"text": "One."}),
        ],
    ),
}


@pytest.mark.parametrize("case", WHOLES)
def test_a_stream_says_what_the_whole_answer_says(case: str) -> None:
    answer, chunks = WHOLES[case]
    assert facts(collected(streamed(sse(*chunks)))) == facts(collected(whole(answer)))


@pytest.mark.parametrize("case", WHOLES)
def test_what_was_read_is_written_again_whole_and_streamed(case: str) -> None:
    events = whole(WHOLES[case][0])
    body = GEMINI.render_answer(collected(events))
    types.GenerateContentResponse.model_validate(body)
    assert facts(collected(whole(body))) == facts(collected(events))
    renderer = GEMINI.stream_renderer({"model": "gemini-3"})
    wire = b"".join(map(renderer.render, events)) + renderer.end()
    for line in wire.decode().splitlines():
        if line:
            types.GenerateContentResponse.model_validate_json(line.removeprefix("data: "))
    assert facts(collected(streamed(wire))) == facts(collected(events))


def test_calls_without_ids_get_the_same_ones_whenever_the_answer_is_read() -> None:
    first, second = (collected(whole(WHOLES["parallel calls"][0])).tool_calls for _ in range(2))
    assert [call.id for call in first] == [call.id for call in second]
    assert len({call.id for call in first}) == 3
    assert all(len(call.id) <= 40 and call.id.isascii() for call in first)
    other = part_answer(CALL) | {"responseId": "r2"}
    assert collected(whole(other)).tool_calls[0].id != first[0].id
    nameless = {name: value for name, value in part_answer(CALL).items() if name != "responseId"}
    assert collected(whole(nameless)).tool_calls[0].id


def test_a_call_that_has_an_id_keeps_it() -> None:
    call = {"functionCall": {"id": "vcyiitct", "name": "f"}}
    (found,) = collected(whole(part_answer(call))).tool_calls
    assert (found.id, found.name, found.arguments) == ("vcyiitct", "f", "{}")


def test_a_signature_ends_the_thought_before_the_text_that_it_stands_on() -> None:
    parts = collected(
        whole(part_answer({"text": "Hm", "thought": True}, {"text": "Yes", "thoughtSignature": "c2VhbA=="}))
    )
    assert parts.parts == (Reasoning(text="Hm", signature=SEAL), Text("Yes"))


def test_sound_and_drafts_are_told_apart() -> None:
    sound = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}}
    draft = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}, "thought": True}
    answer = collected(whole(part_answer(draft, sound, {"fileData": {"fileUri": "gs://x"}})))
    assert answer.media == [Audio(data="AAAA", format="L16;rate=24000")]
    assert [type(part) for part in answer.parts] == [Opaque, Audio, Opaque]
    assert not any(isinstance(part, Image) for part in answer.parts)


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("CONTINUATION", "pause"),
        ("OTHER", "stop"),
        ("INVENTED_TOMORROW", "stop"),
    ],
)
def test_every_reason_to_end_is_understood(native: str, reason: str) -> None:
    finished = collected(whole(part_answer({"text": "So"}, reason=native))).finished
    assert finished == Finished(reason, native=native)  # type: ignore[arg-type] # a FinishReason


def test_an_answer_with_calls_ends_for_them_even_if_the_call_came_chunks_before() -> None:
    finished = collected(streamed(sse(part_answer(CALL, reason=None), part_answer({"text": ""})))).finished
    assert finished is not None
    assert finished.reason == "tool_calls"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (
            part_answer(reason="MALFORMED_FUNCTION_CALL", finishMessage="Malformed function call: print("),
            Kind.NO_ANSWER,
        ),
        (part_answer({"text": "So"}, reason="UNEXPECTED_TOOL_CALL"), Kind.NO_ANSWER),
        (part_answer(reason="OTHER"), Kind.NO_ANSWER),
        (part_answer(reason="NO_IMAGE"), Kind.NO_ANSWER),
        (part_answer(reason="MISSING_THOUGHT_SIGNATURE"), Kind.BAD_REQUEST),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}, Kind.CONTENT_FILTER),
        ({"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}, Kind.OVERLOADED),
        ({"usageMetadata": {"promptTokenCount": 3}}, Kind.INVALID_ANSWER),
        ({"candidates": []}, Kind.INVALID_ANSWER),
        ({"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}}]}, Kind.INVALID_ANSWER),
        ({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png"}}]}}]}, Kind.INVALID_ANSWER),
    ],
)
def test_an_answer_that_is_none_is_a_failure_and_says_of_which_kind(answer: Json, kind: Kind) -> None:
    with pytest.raises(ProviderError) as failed:
        whole(answer)
    assert failed.value.kind is kind


def test_an_empty_answer_that_the_model_ended_is_an_answer() -> None:
    answer = collected(whole({"candidates": [{"finishReason": "STOP", "index": 0}]}))
    assert answer.finished == Finished("stop", native="STOP")
    assert answer.parts == ()


def test_a_stream_without_a_reason_to_end_has_not_ended() -> None:
    events = streamed(sse(part_answer({"text": "Olá"}, reason=None), {"usageMetadata": {"promptTokenCount": 3}}))
    assert not any(isinstance(event, Finished) for event in events)


def test_an_error_inside_a_stream_is_a_failure_also_in_a_list() -> None:
    error = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    for data in (error, [error]):
        parser = GEMINI.stream_parser()
        with pytest.raises(ProviderError) as failed:
            parser.read(Frame(b"", "", json.dumps(data).encode()))
        assert failed.value.kind is Kind.RATE_LIMITED


def test_usage_counts_thoughts_as_output_and_what_tools_brought_as_input() -> None:
    counted = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 5,
        "toolUsePromptTokenCount": 7,
        "totalTokenCount": 122,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}, {"modality": "TEXT", "tokenCount": 30}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}, {"modality": "TEXT"}],
    }
    usage = collected(whole(part_answer({"text": "x"}, usage=counted))).usage
    assert usage == Usage(
        input_tokens=107,
        output_tokens=15,
        cached_input_tokens=40,
        reasoning_tokens=5,
        input_audio_tokens=20,
        output_audio_tokens=8,
    )
    assert usage.total_tokens == counted["totalTokenCount"]


def test_usage_of_a_stream_is_told_as_it_grows_and_not_twice() -> None:
    grown = {"promptTokenCount": 5, "candidatesTokenCount": 9}
    events = streamed(
        sse(
            part_answer({"text": "a"}, reason=None),
            part_answer({"text": "b"}, reason=None),
            part_answer({"text": "c"}, usage=grown),
        )
    )
    assert [event.usage.output_tokens for event in events if hasattr(event, "usage")] == [3, 9]


GROUNDING = {
    "webSearchQueries": ["tempo"],
    "groundingChunks": [
        {"web": {"uri": "https://a.example", "title": "A"}},
        {"retrievedContext": {"text": "Faz sol.", "fileSearchStore": "fileSearchStores/1"}},
    ],
    "groundingSupports": [
        {"segment": {"startIndex": 23, "endIndex": 33, "text": "São Luís"}, "groundingChunkIndices": [0, 1, 9]},
        {"segment": {"text": "not in it"}, "groundingChunkIndices": [0]},
    ],
}


def test_sources_are_cited_at_their_characters() -> None:
    text = "Olá, São Luís! Sim, São Luís."
    start = text.rindex("São")
    answers = [
        collected(whole(part_answer({"text": text}, groundingMetadata=GROUNDING))),
        collected(
            streamed(
                sse(
                    part_answer({"text": text[:7]}, reason=None, groundingMetadata={}),
                    part_answer({"text": text[7:]}, reason=None, groundingMetadata=GROUNDING),
                    part_answer({"text": "", "thoughtSignature": "c2VhbA=="}, groundingMetadata=GROUNDING),
                )
            )
        ),
    ]
    for answer in answers:
        (block,) = (part for part in answer.parts if isinstance(part, Text))
        first, second, third = block.citations
        assert (first.url, first.title, first.start, first.end) == ("https://a.example", "A", start, start + 8)
        assert (second.cited_text, second.start) == ("Faz sol.", start)
        assert (third.url, third.start, third.end) == ("https://a.example", None, None)
        assert first.native is not None
        assert first.native.value == {"groundingMetadata": GROUNDING}
        candidate = GEMINI.render_answer(answer)["candidates"][0]
        assert candidate["groundingMetadata"] == GROUNDING


def test_what_was_recited_is_cited() -> None:
    source = {"startIndex": 5, "endIndex": 8, "uri": "https://b.example", "license": "mit"}
    answer = collected(whole(part_answer({"text": "Olé: é"}, citationMetadata={"citations": [source]})))
    (block,) = answer.parts
    assert isinstance(block, Text)
    (cited,) = block.citations
    assert (cited.url, block.text[cited.start : cited.end]) == ("https://b.example", " é")
    assert GEMINI.render_answer(answer)["candidates"][0]["citationMetadata"] == {"citations": [source]}


def test_logprobs_cross_with_their_alternatives() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5, "tokenId": 1}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1}]}
        ],
    }
    answer = collected(whole(part_answer({"text": "é"}, logprobsResult=result)))
    (token,) = answer.logprobs
    assert (token.token, token.logprob, token.bytes) == ("é", -0.5, (0xC3, 0xA9))
    assert [other.token for other in token.top] == ["é", "e"]
    again = collected(whole(GEMINI.render_answer(answer)))
    assert again.logprobs == answer.logprobs


def test_a_call_that_comes_in_pieces_is_written_whole() -> None:
    events: list[Event] = [
        Started(id="x", model="gpt-4o"),
        TextDelta("Vejo."),
        ToolCallDelta(index=0, id="c0", name="f"),
        ToolCallDelta(index=0, arguments='{"a"'),
        ToolCallDelta(index=0, arguments=":1}"),
        ToolCallDelta(index=1, id="c1", name="g", arguments="{}"),
        Finished("tool_calls"),
    ]
    renderer = GEMINI.stream_renderer({"model": "gemini-3"})
    wire = b"".join(map(renderer.render, events)) + renderer.end()
    answer = collected(streamed(wire))
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("c0", "f", '{"a":1}'),
        ("c1", "g", "{}"),
    ]
    assert answer.finished == Finished("tool_calls", native="STOP")


def test_what_follows_a_call_is_written_after_it() -> None:
    events: list[Event] = [
        ToolCallDelta(index=0, id="c0", name="f", arguments="{}"),
        TextDelta("So."),
        Finished("stop"),
    ]
    renderer = GEMINI.stream_renderer({"model": "gemini-3"})
    parts = collected(streamed(b"".join(map(renderer.render, events)) + renderer.end())).parts
    assert [type(part) for part in parts] == [ToolCall, Text]


def test_further_candidates_are_not_mixed_into_the_first() -> None:
    answer = part_answer({"text": "one"})
    answer["candidates"].append({"content": {"parts": [{"text": "two"}]}, "index": 1, "finishReason": "STOP"})
    assert collected(whole(answer)).text == "one"


def test_a_stream_that_failed_says_so_as_google_does() -> None:
    wire = GEMINI.stream_renderer({}).fail(Unavailable("Nobody answers.", retry_after=1))
    with pytest.raises(ProviderError) as failed:
        streamed(wire)
    assert failed.value.kind is Kind.OVERLOADED
    assert failed.value.message == "Nobody answers."
