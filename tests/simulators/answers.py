"""What every simulated model says: a few known answers, proofs that the history was sent, tool calls, or an echo."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.simulators.faults import Fault

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

KNOWN = {
    "Qual é a capital do Brasil?": "A capital do Brasil é Brasília.",
    "What is the capital of France?": "The capital of France is Paris.",
    "Say it with emoji": "Olá, coração 👋🏽 — 日本語, ação e 🇧🇷 em uma família 👨‍👩‍👧‍👦!",
    "Say nothing": "",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that the model was sent."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool; the arguments are JSON, cut where a model's tokens are."""

    name: str
    fragments: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


@dataclass(frozen=True, slots=True)
class Answer:
    """A text in the words in which it is streamed, or calls of tools."""

    words: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tokens(self) -> int:
        """One per word, per fragment of arguments and per call."""
        return len(self.words) + sum(1 + len(call.fragments) for call in self.calls)


_PROOFS: dict[str, Callable[[Sequence[Turn]], str]] = {
    "What did I say first?": lambda turns: next(turn.text for turn in turns if turn.role == "user"),
    "What did you say last?": lambda turns: ([turn.text for turn in turns if turn.role == "assistant"] or ["Nothing."])[-1],
    "How many messages?": lambda turns: str(len(turns)),
    "What are your instructions?": lambda turns: "\n".join(turn.text for turn in turns if turn.role == "system"),
}


def answer(turns: Sequence[Turn], *, tools: Collection[str] = ()) -> Answer:
    """Answers the last turn: KNOWN, a proof of the history, `Count to N`, `call NAME {json}` (a line each), or its echo.

    After a tool's result, or several in a row, the answer is what they say, a line each.
    """
    last = turns[-1]
    if last.role == "tool":
        results = [turn.text for turn in turns]
        while turns[len(turns) - len(results)].role != "tool" or any(
            turn.role != "tool" for turn in turns[len(turns) - len(results) :]
        ):
            results.pop(0)
        return Answer(split("\n".join(results)))
    asked = next((turn.text for turn in reversed(turns) if turn.role == "user"), last.text).strip()
    if calls := _calls(asked, tools):
        return Answer(calls=calls, finish="tool_calls")
    if asked in _PROOFS:
        return Answer(split(_PROOFS[asked](turns)))
    if counted := re.fullmatch(r"Count to (\d+)\.?", asked):
        return Answer(split(" ".join(str(number) for number in range(1, int(counted[1]) + 1))))
    return Answer(split(KNOWN.get(asked, asked)))
