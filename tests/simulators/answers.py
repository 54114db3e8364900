"""What every simulated model says: a few known answers, proofs that the history was sent, tool calls, or an echo."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
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
    "What did you say last?": lambda turns: ([turn.text for turn in turns if turn.role == "assistant"] or ["Nothing."])[
        -1
    ],
    "How many messages?": lambda turns: str(len(turns)),
    "What are your instructions?": lambda turns: "\n".join(turn.text for turn in turns if turn.role == "system"),
}


def answer(turns: Sequence[Turn], *, tools: Collection[str] = ()) -> Answer:
    """Answers the last turn: KNOWN, a proof of the history, `Count to N`, `call NAME {json}` line by line, or its echo.

    After a tool's result, or several in a row, the answer is what they say, a line each.
    """
    if results := [turn.text for turn in takewhile(lambda turn: turn.role == "tool", reversed(turns))]:
        return Answer(split("\n".join(reversed(results))))
    asked = turns[-1].text.strip()
    if calls := _calls(asked, tools):
        return Answer(calls=calls, finish="tool_calls")
    if asked in _PROOFS:
        return Answer(split(_PROOFS[asked](turns)))
    if counted := re.fullmatch(r"Count to (\d+)\.?", asked):
        return Answer(split(" ".join(str(number) for number in range(1, int(counted[1]) + 1))))
    return Answer(split(KNOWN.get(asked, asked)))


def call(name: str, arguments: str) -> ToolCall:
    """Cuts `arguments`, a JSON object, at its punctuation, as a model's tokens would."""
    return ToolCall(name, tuple(re.findall(r'[{}\[\]":,\s]+|[^{}\[\]":,\s]+', arguments)))


def limited(answer: Answer, *, max_tokens: int | None = None, stop: Collection[str] = ()) -> Answer:
    """Cuts the text before the first of `stop`, then text or calls after `max_tokens` (finish `length`)."""
    if ends := [at for at in (answer.text.find(sequence) for sequence in stop) if at >= 0]:
        answer = replace(answer, words=split(answer.text[: min(ends)]), finish="stop")
    if max_tokens is None or answer.tokens <= max_tokens:
        return answer
    calls: list[ToolCall] = []
    left = max_tokens
    for made in answer.calls:
        if left > 0:
            calls.append(replace(made, fragments=made.fragments[: left - 1]))
            left -= 1 + len(made.fragments)
    return Answer(answer.words[:max_tokens], tuple(calls), finish="length")


def under(answer: Answer, fault: Fault | None) -> Answer:
    """The answer as a fault of the answer itself leaves it."""
    match fault.name if fault else None:
        case "content-filter":
            assert fault is not None
            return Answer(answer.words[: fault.after], finish="content_filter")
        case "empty":
            return Answer()
        case "huge":
            assert fault is not None
            return Answer(("x" * fault.size,))
        case _:
            return answer


def split(text: str) -> tuple[str, ...]:
    """Words, each with the white space before it; together they are `text`."""
    return tuple(re.findall(r"\s*\S+|\s+", text))


def count_tokens(text: str) -> int:
    return len(split(text))


def _calls(asked: str, tools: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls that `asked` spells out, if each of its lines is one."""
    calls: list[ToolCall] = []
    for line in asked.splitlines():
        spelt = re.fullmatch(r"call (\S+) (\{.*\})", line.strip())
        if spelt is None or spelt[1] not in tools:
            return ()
        try:
            arguments = json.loads(spelt[2])
        except ValueError:
            return ()
        calls.append(call(spelt[1], json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)))
    return tuple(calls)
