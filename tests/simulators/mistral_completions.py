"""A Mistral completion in both of its shapes: one document, or a stream of chunks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Answer, Usage
from tests.simulators.mistral_requests import ChatRequest
from tests.simulators.replies import Event
from tests.simulators.tokens import token

JSON = dict[str, Any]
FINISH_REASONS = {"content_filter": "error", "refusal": "stop"}
"""Mistral names neither: a refusal is words like others, and what a guardrail stops has failed."""


@dataclass(frozen=True, slots=True)
class Completion:
    """`said` in answer to `asked`; its identifiers follow from `number`, which differs between answers."""

    asked: ChatRequest
    said: Answer
    number: int
    created: int
    """Seconds since the epoch."""
    tells_usage: bool = True

    @property
    def total_tokens(self) -> int:
        return self._spent.input + self._spent.output

    def document(self) -> JSON:
        assert not self.said.images, "Mistral's chat models draw no pictures"
        calls = [self._call(at) for at in range(len(self.said.calls))] or None
        message = {"role": "assistant", "tool_calls": calls, "content": self._content()}
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        usage = {"usage": self._usage()} if self.tells_usage else {}
        name = token("", self.number, length=32, letters="0123456789abcdef")
        origin = {"id": name, "created": self.created, "model": self.asked.name}
        return {**origin, **usage, "object": "chat.completion", "choices": [choice]}

    def events(self) -> Iterator[Event]:
        """The role, a word each, then the calls all at once; the last chunk carries finish and usage."""
        yield self._chunk({"role": "assistant", "content": ""})
        for thought in self.said.thoughts:
            for word in thought.words:
                yield self._chunk({"content": [self._thinking(word)]}, content=True)
            yield self._chunk({"content": [{"type": "thinking", "thinking": []}]})
        for word in self.said.words:
            yield self._chunk({"content": word}, content=True)
        for chunk in self._references():
            yield self._chunk({"content": [chunk]}, content=True)
        calls = [self._call(at) for at in range(len(self.said.calls))]
        called = {"tool_calls": calls} if calls else {}
        yield self._chunk({"content": "", **called}, content=bool(calls), finish=self._finish)
        yield Event("[DONE]")

    @property
    def _finish(self) -> str:
        return FINISH_REASONS.get(self.said.finish, self.said.finish)

    @property
    def _spent(self) -> Usage:
        return self.said.spent(self.asked.prompt_tokens)

    def _content(self) -> str | list[JSON]:
        """A text; chunks where there is more than that."""
        references = self._references()
        if not self.said.thoughts and not references:
            return self.said.text
        text = [{"type": "text", "text": self.said.text}] if self.said.words else []
        return [*(self._thinking(thought.text) for thought in self.said.thoughts), *text, *references]

    @staticmethod
    def _thinking(text: str) -> JSON:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

    def _references(self) -> list[JSON]:
        if not self.said.citations:
            return []
        return [{"type": "reference", "reference_ids": [*range(len(self.said.citations))]}]

    def _call(self, at: int) -> JSON:
        made = self.said.calls[at]
        name = token("", self.number, at, length=9)
        function = {"name": made.name, "arguments": made.arguments}
        return {"id": name, "function": function, "index": at}

    def _chunk(self, delta: JSON, *, content: bool = False, finish: str | None = None) -> Event:
        name = token("", self.number, length=32, letters="0123456789abcdef")
        origin = {"id": name, "object": "chat.completion.chunk", "created": self.created, "model": self.asked.name}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage = {"usage": self._usage()} if finish and self.tells_usage else {}
        encoded = json.dumps({**origin, "choices": [choice], **usage}, separators=(",", ":"), ensure_ascii=False)
        return Event(encoded, content=content)

    def _usage(self) -> JSON:
        spent = self._spent
        counted = {"prompt_tokens": spent.input, "total_tokens": self.total_tokens, "completion_tokens": spent.output}
        return {**counted, "prompt_tokens_details": {"cached_tokens": spent.cached}}
