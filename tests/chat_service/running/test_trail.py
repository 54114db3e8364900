"""What a trail and a saved answer tell is what the events told, from wherever a reader was left."""

import json
import random
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import pytest

from chat_service.messages.schemas import MessageView
from chat_service.running.feed import Place
from chat_service.running.live import LiveGeneration
from chat_service.running.recorded import Saved
from chat_service.running.trail import Spoken, step, steps
from shared.events import Delta, Reasoning, ToolCall, ToolResult, UsageReport
from tests.chat_service.fake_llm import USAGE, start

PLACE = Place(generation_id="gen_1", message_id="msg_1", conversation_id="conv_1", organization_id="o", user_id="u")


def test_a_trail_holds_kinds_and_lengths_in_one_byte_where_they_are_short() -> None:
    events: list[Spoken] = [
        Delta(content="x" * 15),
        Reasoning(reasoning="é" * 16),
        Delta(content=""),
        Delta(content="x" * 300_000),
    ]
    encoded = [step(event) for event in events]
    assert [len(each) for each in encoded] == [1, 2, 1, 4]
    assert list(steps(b"".join(encoded))) == [(Delta, 15), (Reasoning, 16), (Delta, 0), (Delta, 300_000)]


def random_answer(chance: random.Random) -> LiveGeneration:
    live = LiveGeneration(PLACE, model="gpt-4")
    live.take(start())
    for number in range(chance.randrange(40)):
        text = "".join(chance.choices("aé🇧😀\n ", k=chance.randrange(5)))
        call = ToolCall(id=f"call_{number}", name="clock", arguments='{"a": 1}')
        result = ToolResult(tool_call_id=f"call_{number}", result={"now": [1, None]})
        said: list[Spoken] = [Delta(content=text), Delta(content=text), Reasoning(reasoning=text), call, result]
        live.take(chance.choice(said))
        if chance.random() < 0.7:
            live.seal()
    live.take(UsageReport(usage=USAGE))
    live.seal()
    return live


def view_of(live: LiveGeneration) -> MessageView:
    said = live.answer.said()
    return MessageView(
        id="msg_1", conversation_id="conv_1", parent_id=None, generation_id="gen_1", role="assistant",
        content=said["content"], parts=said["parts"], status="completed", model=said["model"],
        provider=said["provider"], usage=said["usage"], cost_usd=None, finish_reason="stop", error=None,
        feedback=None, created_at=datetime.now(UTC),
    )  # fmt: skip


def read(frame: bytes) -> tuple[int, str, dict[str, Any]]:
    lines = dict(line.split(": ", 1) for line in frame.decode().strip().split("\n"))
    return int(lines["id"]), lines["event"], json.loads(lines["data"])


def told(frames: list[tuple[int, str, dict[str, Any]]]) -> list[Any]:
    """What a client makes of events: text and thoughts put together, everything else as it is."""
    found: list[Any] = []
    for kind, run in groupby(frames, key=lambda frame: frame[1]):
        if kind in ("delta", "reasoning"):
            found.append((kind, "".join(each[2]["content"] + each[2].get("reasoning", "") for each in run)))
        else:
            found.extend(run)
    return found


@pytest.mark.parametrize("seed", range(50))
async def test_after_any_sequence_comes_exactly_the_rest(seed: int) -> None:
    live = random_answer(random.Random(seed))
    saved = Saved(view_of(live), live.answer.said()["trail"])
    live.tell(live.seal())
    live.end(saved)
    original = [read(frame) async for frame in live.frames()]
    for after in range(len(original) + 2):
        rest = [read(frame) for frame in saved.frames(after=after)]
        assert told(rest) == told(original[after:])
        assert rest[-1:] == original[after:][-1:]
        assert [sequence for sequence, *_ in rest] == sorted({sequence for sequence, *_ in rest})
        assert all(sequence > after for sequence, *_ in rest)
    assert saved.last_sequence == original[-1][0]
