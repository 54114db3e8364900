"""An OpenAI chat completion in both of its shapes: one document, or a stream of chunks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Answer, Limits, ToolCall, answer_within
from tests.simulators.openai_requests import CompletionRequest
from tests.simulators.replies import Event
from tests.simulators.tokens import token

JSON = dict[str, Any]
DONE = Event("[DONE]")


def said_to(asked: CompletionRequest) -> Answer:
    """What the model says, within the request's limits; it calls a tool where it must."""
    limits = Limits(
        tools=() if asked.tool_choice == "none" else asked.tools,
        must_call=asked.tool_choice == "required",
        forced_tool=asked.forced_tool,
        parallel=asked.parallel_tool_calls,
        max_tokens=asked.max_tokens,
        stop=asked.stop,
    )
    return answer_within(asked.turns, limits)


@dataclass(frozen=True, slots=True)
class Completion:
    """`said` in answer to `asked`; its identifiers follow from `number`, which differs between answers."""

    asked: CompletionRequest
    said: Answer
    number: int
    created: int
    """Seconds since the epoch."""
    tells_usage: bool = True

    @property
    def total_tokens(self) -> int:
        return self.asked.prompt_tokens + self.said.tokens

    def document(self) -> JSON:
        """The body of an answer that is not streamed, its keys in OpenAI's order."""
        message: JSON = {"role": "assistant", "content": self.said.text}
        if self.said.calls:
            message["content"] = None
            message["tool_calls"] = [self._call(made, at, made.arguments) for at, made in enumerate(self.said.calls)]
        message |= {"refusal": None, "annotations": []}
        choices = [self._choice("message", message, finish=self._finish)]
        usage = {"usage": self._usage()} if self.tells_usage else {}
        return {**self._origin("chat.completion"), "choices": choices, **usage, **self._system()}

    def events(self) -> Iterator[Event]:
        """The role, a word or a fragment each, the finish, usage if it was asked for, and [DONE]."""
        yield from self._calls() if self.said.calls else self._text()
        yield self._chunk({}, finish=self._finish)
        if self.asked.include_usage and self.tells_usage:
            yield self._event([], usage=self._usage())
        yield DONE

    @property
    def _finish(self) -> str:
        """A call of the one tool that `tool_choice` names ends in `stop`; any other ends in `tool_calls`."""
        forced = self.asked.forced_tool is not None and self.said.finish == "tool_calls"
        return "stop" if forced else self.said.finish

    def _text(self) -> Iterator[Event]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for word in self.said.words:
            yield self._chunk({"content": word}, content=True)

    def _calls(self) -> Iterator[Event]:
        """One call is announced together with the role; of several, each is announced by itself after it."""
        alone = len(self.said.calls) == 1
        if not alone:
            yield self._chunk({"role": "assistant", "content": None})
        for at, made in enumerate(self.said.calls):
            announced = {"tool_calls": [{"index": at, **self._call(made, at, "")}]}
            if alone:
                yield self._chunk({"role": "assistant", "content": None, **announced, "refusal": None})
            else:
                yield self._chunk(announced, content=True)
            for fragment in made.fragments:
                delta = {"tool_calls": [{"index": at, "function": {"arguments": fragment}}]}
                yield self._chunk(delta, content=True)

    def _call(self, made: ToolCall, at: int, arguments: str) -> JSON:
        name = token("call_", self.number, at, length=24)
        return {"id": name, "type": "function", "function": {"name": made.name, "arguments": arguments}}

    def _chunk(self, delta: JSON, *, content: bool = False, finish: str | None = None) -> Event:
        return self._event([self._choice("delta", delta, finish=finish)], content=content)

    def _event(self, choices: list[JSON], *, usage: JSON | None = None, content: bool = False) -> Event:
        chunk = {**self._origin("chat.completion.chunk"), **self._system(), "choices": choices}
        if self.asked.include_usage:
            chunk["usage"] = usage
        if self.asked.include_obfuscation:
            length = len(str(choices))
            chunk["obfuscation"] = token("", self.number, length, length=3 + length % 13)
        return Event(json.dumps(chunk, separators=(",", ":"), ensure_ascii=False), content=content)

    def _choice(self, key: str, value: JSON, *, finish: str | None) -> JSON:
        logprobs = {"logprobs": None} if self.asked.model.logprobs else {}
        return {"index": 0, key: value, **logprobs, "finish_reason": finish}

    def _origin(self, kind: str) -> JSON:
        name = token("chatcmpl-", self.number, length=29)
        return {"id": name, "object": kind, "created": self.created, "model": self.asked.model.snapshot}

    def _system(self) -> JSON:
        tier = {} if self.asked.model.searches else {"service_tier": "default"}
        return {**tier, "system_fingerprint": self.asked.model.fingerprint}

    def _usage(self) -> JSON:
        return {
            "prompt_tokens": self.asked.prompt_tokens,
            "completion_tokens": self.said.tokens,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
