"""What every simulated model says: a few known answers, proofs that the history was sent, tool calls, or an echo."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

from tests.simulators.faults import Fault

Finish = Literal["stop", "length", "tool_calls", "content_filter", "refusal"] | str
"""The first five in each provider's own words; any other as it is, for a reason that only one provider has."""

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
    signature: str | None = None
    """Of the thought that led to it; only Gemini's calls carry one."""

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning before the answer, in the words in which it is streamed."""

    words: tuple[str, ...] = ()
    signature: str | None = None
    redacted: bool = False
    """Only the signature is sent: Anthropic's `redacted_thinking`."""

    @property
    def text(self) -> str:
        return "".join(self.words)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that the model drew, base64."""

    data: str
    media_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of the answer's text."""

    cited: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens; `input` includes `cached` and `cache_written`, `output` includes `reasoning`, at every provider."""

    input: int
    output: int
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Thoughts, then a text in the words in which it is streamed, then pictures, then calls of tools."""

    words: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    thoughts: tuple[Thought, ...] = ()
    images: tuple[Image, ...] = ()
    citations: tuple[Citation, ...] = ()
    signature: str | None = None
    """Of the text; only Gemini signs it."""
    usage: Usage | None = None
    """What is told, instead of what is counted."""
    stopped_by: str | None = None
    """The stop sequence that ended it."""

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tokens(self) -> int:
        """One per word, per fragment of arguments and per call; thoughts are counted by themselves."""
        return len(self.words) + sum(1 + len(call.fragments) for call in self.calls)

    @property
    def thought_tokens(self) -> int:
        return sum(len(thought.words) or 1 for thought in self.thoughts)

    def spent(self, prompt_tokens: int) -> Usage:
        """The usage that is told for a prompt of so many tokens."""
        counted = Usage(prompt_tokens, self.tokens + self.thought_tokens, reasoning=self.thought_tokens)
        return self.usage or counted


def says(
    text: str = "",
    *,
    calls: Sequence[tuple[str, Mapping[str, Any]] | ToolCall] = (),
    thinking: str | None = None,
    signature: str | None = None,
    finish: Finish | None = None,
    **more: Any,
) -> Answer:
    """A scripted answer; `calls` are names with arguments, `signature` is that of `thinking`, or Gemini's of the text.

    `more` are fields of Answer: `thoughts` (several, or redacted ones), `images`, `citations`, `usage`.
    """
    made = [one if isinstance(one, ToolCall) else call(one[0], _compact(one[1])) for one in calls]
    if thinking is not None:
        more["thoughts"] = (Thought(split(thinking), signature), *more.get("thoughts", ()))
    elif signature is not None:
        more["signature"] = signature
    reason = finish or ("tool_calls" if made else "stop")
    return Answer(words=split(text), calls=tuple(made), finish=reason, **more)


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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request allows its answer: which tools, and where it must end."""

    tools: tuple[str, ...] = ()
    must_call: bool = False
    forced_tool: str | None = None
    parallel: bool = True
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


def answer_within(turns: Sequence[Turn], limits: Limits) -> Answer:
    """`answer`, but it calls a tool where it must and ends where it has to."""
    tools = (limits.forced_tool,) if limits.forced_tool else limits.tools
    said = answer(turns, tools=tools)
    if limits.must_call and tools and not said.calls:
        said = Answer(calls=(call(tools[0], "{}"),), finish="tool_calls")
    if not limits.parallel:
        said = replace(said, calls=said.calls[:1])
    return limited(said, max_tokens=limits.max_tokens, stop=limits.stop)


def call(name: str, arguments: str) -> ToolCall:
    """Cuts `arguments`, a JSON object, at its punctuation, as a model's tokens would."""
    return ToolCall(name, tuple(re.findall(r'[{}\[\]":,\s]+|[^{}\[\]":,\s]+', arguments)))


def limited(answer: Answer, *, max_tokens: int | None = None, stop: Collection[str] = ()) -> Answer:
    """Cuts the text before the first of `stop`, then text or calls after `max_tokens` (finish `length`)."""
    if ends := [at for at in (answer.text.find(sequence) for sequence in stop) if at >= 0]:
        end = min(ends)
        ended = next(sequence for sequence in stop if answer.text.startswith(sequence, end))
        answer = replace(answer, words=split(answer.text[:end]), finish="stop", stopped_by=ended)
    if max_tokens is None or answer.tokens <= max_tokens:
        return answer
    calls: list[ToolCall] = []
    left = max_tokens
    for made in answer.calls:
        if left > 0:
            calls.append(replace(made, fragments=made.fragments[: left - 1]))
            left -= 1 + len(made.fragments)
    return replace(answer, words=answer.words[:max_tokens], calls=tuple(calls), finish="length", stopped_by=None)


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
        calls.append(call(spelt[1], _compact(arguments)))
    return tuple(calls)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
