"""The simulators against recordings of the real Anthropic, Gemini and Mistral.

A recorded request is put to the simulator, which is scripted to say what the real model said: what differs then is the
wire's doing. Requests that use a tool which the provider itself runs are left out.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import httpx2
import pytest

from tests.simulators.answers import Answer, Thought, Usage, call, says, split
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.provider import Provider
from tests.simulators.recordings import JSON, Recording, chunks_of, needed, recordings, shape, shapes

pytestmark = needed

IGNORED_HEADERS = {
    "alt-svc",  # an offer of HTTP/3
    "strict-transport-security",  # of TLS
    "connection",  # said by HTTP/1.1 itself
    "transfer-encoding",  # the recorder joined the chunks…
    "content-length",  # …and counted them
    "retry-after",  # Anthropic sent it with a few answers that were well
}
LATER = {"stop_details", "inference_geo", "output_tokens_details", "caller", "citations"}
"""Fields of Anthropic's that came and went between the recordings, over a year; the simulator has the newest ones."""
ANTHROPICS_OWN = {"iterations", "server_tool_use", "context_management", "container", "signature"}
"""Of tools that Anthropic runs, and of features that are not simulated."""
GEMINIS = {"serviceTier", "candidatesTokensDetails", "avgLogprobs", "finishMessage", "thoughtsTokenCount"}
"""Told by some models at some times."""


def selected(provider: str, host: str, holding: str, *, kept: Any) -> list[Any]:
    return [pytest.param(one, id=name) for name, one in recordings(provider, host, holding=holding) if kept(one)]


def _plain_message(one: Recording) -> bool:
    """Made of what every client may ask for."""
    kinds = [block["type"] for block in one.body.get("content", ())]
    kinds += [chunk["content_block"]["type"] for chunk in one.chunks if "content_block" in chunk]
    thinks_late = any("thinking" in kind and "text" in kinds[:at] for at, kind in enumerate(kinds))
    tools = one.request.get("tools", ())
    own = any(tool.get("type", "custom") != "custom" for tool in tools) or "mcp_servers" in one.request
    return (
        not own
        and not thinks_late
        and {*kinds} <= {"text", "thinking", "redacted_thinking", "tool_use"}
        and one.status == 200
    )


MESSAGES = selected("anthropic", "api.anthropic.com", "/v1/messages?", kept=_plain_message) + selected(
    "anthropic", "api.anthropic.com", "/v1/messages", kept=lambda one: "?" not in one.path and _plain_message(one)
)


def _said_by_claude(one: Recording) -> Answer:
    message = one.body or _collected(one.chunks)
    blocks = message["content"]
    usage = message["usage"]
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Answer(
        words=tuple(word for block in blocks if block["type"] == "text" for word in split(block["text"])),
        calls=tuple(call(block["name"], json.dumps(block["input"])) for block in blocks if block["type"] == "tool_use"),
        finish=message["stop_reason"],
        thoughts=tuple(_thought(block) for block in blocks if "thinking" in block["type"]),
        usage=Usage(usage["input_tokens"] + read + written, usage["output_tokens"], read, written),
    )


def _thought(block: JSON) -> Thought:
    if block["type"] == "redacted_thinking":
        return Thought(signature=block["data"], redacted=True)
    return Thought(split(block["thinking"]), block["signature"])


def _collected(chunks: list[JSON]) -> JSON:
    """The message that a recorded stream is of."""
    message: JSON = {"content": []}
    for chunk in chunks:
        match chunk["type"]:
            case "message_start":
                message |= {"usage": {**chunk["message"]["usage"]}}
            case "content_block_start":
                message["content"].append({**chunk["content_block"]})
            case "content_block_delta":
                block = message["content"][chunk["index"]]
                for key in ("text", "thinking", "signature"):
                    block[key] = block.get(key, "") + chunk["delta"].get(key, "")
                block["json"] = block.get("json", "") + chunk["delta"].get("partial_json", "")
            case "message_delta":
                message |= {"stop_reason": chunk["delta"]["stop_reason"]}
                message["usage"] |= {"output_tokens": chunk["usage"]["output_tokens"]}
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["json"] or "{}")
    return message


async def put(sim: Provider, recording: Recording, key: dict[str, str]) -> httpx2.Response:
    sim.signatures = None
    async with httpx2.AsyncClient(base_url=sim.root_url, verify=False) as client:
        return await client.post(recording.path, json=recording.request, headers=key)


def claude_key(sim: AnthropicSimulator) -> dict[str, str]:
    return {"x-api-key": sim.api_key, "anthropic-version": "2023-06-01", "anthropic-beta": "simulated"}


@pytest.mark.parametrize("recording", MESSAGES)
async def test_anthropics_answer_has_the_recorded_shape(recording: Recording) -> None:
    ignored = LATER | ANTHROPICS_OWN
    async with AnthropicSimulator() as sim:
        sim.will_answer(_said_by_claude(recording))
        answer = await put(sim, recording, claude_key(sim))
    assert answer.status_code == 200, answer.text
    assert recording.headers - IGNORED_HEADERS <= set(answer.headers)
    assert answer.headers["content-type"] == recording.content_type
    if recording.body:
        body = {**recording.body, "content": _joined(recording.body["content"])}
        assert shape(answer.json(), ignored) == shape(body, ignored)
        assert answer.json()["model"] == recording.body["model"]
        assert answer.json()["stop_reason"] == recording.body["stop_reason"]
        assert _kept(answer.json()["usage"], ignored) == _kept(recording.body["usage"], ignored)
    else:
        chunks = chunks_of(answer.text)
        pinged = [chunk["type"] for chunk in chunks].index("ping")
        assert [chunk["type"] for chunk in chunks][:pinged] == ["message_start", "content_block_start"]
        assert _shapes(chunks, ignored) == _shapes(recording.chunks, ignored)


def _joined(blocks: list[JSON]) -> list[JSON]:
    """Texts in a row as one; the simulator says its text in one block."""
    joined: list[JSON] = []
    for kind, some in groupby(blocks, key=lambda block: block["type"]):
        several = list(some)
        joined += [{**several[0], "text": "".join(one["text"] for one in several)}] if kind == "text" else several
    return joined


def _kept(usage: JSON, ignored: set[str]) -> JSON:
    return {key: value for key, value in usage.items() if key not in ignored}


def _shapes(chunks: list[JSON], ignored: set[str]) -> list[Any]:
    """Without pings, which come when Anthropic likes."""
    return shapes([chunk for chunk in chunks if chunk["type"] != "ping"], ignored)


@pytest.mark.parametrize(
    "recording",
    selected("anthropic", "api.anthropic.com", "/v1/messages", kept=lambda one: "count_tokens" in one.path),
)
async def test_anthropic_counts_tokens_as_recorded(recording: Recording) -> None:
    async with AnthropicSimulator() as sim:
        answer = await put(sim, recording, claude_key(sim))
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"input_tokens"} <= recording.body.keys()


def _parts(bodies: list[JSON]) -> Iterator[JSON]:
    for body in bodies:
        for candidate in body.get("candidates", ()):
            yield from candidate.get("content", {}).get("parts", ())


def _plain_contents(one: Recording) -> bool:
    own = {"executableCode", "codeExecutionResult", "toolCall", "toolResponse"}
    bodies = [one.body] if one.body else one.chunks
    held = {key for part in _parts(bodies) for key in part}
    tools = {key for tool in one.request.get("tools", ()) for key in tool}
    grounded = any("groundingMetadata" in candidate for body in bodies for candidate in body.get("candidates", ()))
    return not own & held and tools <= {"functionDeclarations"} and not grounded and one.status == 200


CONTENTS = selected("gemini", "generativelanguage.googleapis.com", "enerateContent", kept=_plain_contents)


def _said_by_gemini(one: Recording) -> Answer:
    bodies = [one.body] if one.body else one.chunks
    parts = [*_parts(bodies)]
    calls = [part for part in parts if "functionCall" in part]
    texts = [part for part in parts if part.get("text") and not part.get("thought")]
    told = bodies[-1]["usageMetadata"]
    reasoning = told.get("thoughtsTokenCount", 0)
    reason = bodies[-1]["candidates"][0]["finishReason"] if bodies[-1].get("candidates") else "blocked:SAFETY"
    finish = "content_filter" if reason == "SAFETY" else reason
    return says(
        "".join(part["text"] for part in texts),
        calls=[call_signed(part["functionCall"], part.get("thoughtSignature")) for part in calls],
        finish=finish,
        thoughts=tuple(Thought(split(part["text"])) for part in parts if part.get("thought")),
        signature=next((part["thoughtSignature"] for part in texts if "thoughtSignature" in part), None),
        usage=Usage(told["promptTokenCount"], told.get("candidatesTokenCount", 0) + reasoning, reasoning=reasoning),
    )


def call_signed(made: JSON, signature: str | None) -> Any:
    whole = call(made["name"], json.dumps(made["args"]))
    return type(whole)(whole.name, whole.fragments, signature)


@pytest.mark.parametrize("recording", CONTENTS)
async def test_geminis_answer_has_the_recorded_shape(recording: Recording) -> None:
    async with GeminiSimulator() as sim:
        sim.will_answer(_said_by_gemini(recording))
        answer = await put(sim, recording, {"x-goog-api-key": sim.api_key})
    assert answer.status_code == 200, answer.text
    assert recording.headers - IGNORED_HEADERS <= set(answer.headers)
    assert answer.headers["content-type"] == recording.content_type
    if recording.body:
        assert _facts(answer.json(), recording) == _facts(recording.body, recording)
    else:
        assert answer.content.count(b"\r\n\r\n") == answer.content.count(b"data: ")
        chunks = chunks_of(answer.text)
        assert _runs(chunks, recording) == _runs(recording.chunks, recording)


def _facts(body: JSON, recording: Recording) -> Any:
    """The shape without the arguments of calls and without how many tokens of which kind an input had."""
    found = shape(body, {*GEMINIS, "args", "promptTokensDetails", "usageMetadata"})
    usage = {key for key in body["usageMetadata"] if key not in GEMINIS}
    return found, usage, body["modelVersion"], [one.get("finishReason") for one in body.get("candidates", ())]


def _runs(chunks: list[JSON], recording: Recording) -> list[Any]:
    return [one for one, _ in groupby(_facts(chunk, recording) for chunk in chunks)]


CHATS = selected("mistral", "api.mistral.ai", "/v1/chat/completions", kept=lambda one: one.status == 200)


@pytest.mark.parametrize("recording", CHATS)
async def test_mistrals_answer_has_the_recorded_shape(recording: Recording) -> None:
    thinks = "magistral" in recording.request["model"]
    async with MistralSimulator() as sim:
        sim.will_answer(says("Look both ways.", thinking="A street." if thinks else None))
        answer = await put(sim, recording, {"authorization": f"Bearer {sim.api_key}"})
    assert answer.status_code == 200, answer.text
    assert recording.headers - IGNORED_HEADERS <= set(answer.headers)
    assert answer.headers["content-type"] == recording.content_type
    if recording.body:
        assert shape(answer.json(), {"prompt_tokens_details"}) == shape(recording.body, {"prompt_tokens_details"})
    else:
        ignored = {"prompt_tokens_details"}
        recorded = shapes(recording.chunks, ignored)
        del recorded[1]  # a chunk that says nothing
        assert shapes(chunks_of(answer.text), ignored) == recorded


def test_there_are_recordings() -> None:
    assert len(MESSAGES) > 30
    assert len(CONTENTS) > 30
    assert len(CHATS) == 3
