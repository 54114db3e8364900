"""An OpenAI chat completion in both of its shapes: one document, or a stream of chunks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Answer, Limits, ToolCall, Usage, answer_within
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
        return self._spent.input + self._spent.output

    def document(self) -> JSON:
        """The body of an answer that is not streamed, its keys in OpenAI's order."""
        assert not self.said.images, "OpenAI's chat models draw no pictures"
        message: JSON = {"role": "assistant", "content": None if self._refuses else self.said.text}
        if self.said.calls:
            message["content"] = self.said.text or None
            message["tool_calls"] = [self._call(made, at, made.arguments) for at, made in enumerate(self.said.calls)]
        message |= {"refusal": self.said.text if self._refuses else None, "annotations": self._annotations()}
        choices = [self._choice("message", message, finish=self._finish, words=self.said.words)]
        usage = {"usage": self._usage()} if self.tells_usage else {}
        return {**self._origin("chat.completion"), "choices": choices, **usage, **self._system()}

    def events(self) -> Iterator[Event]:
        """The role, a word or a fragment each, the finish, usage if it was asked for, and [DONE]."""
        spoken = self.said.words or not self.said.calls
        yield from self._text() if spoken else ()
        yield from self._calls(opened=bool(spoken))
        yield self._chunk({}, finish=self._finish)
        if self.asked.include_usage and self.tells_usage:
            yield self._event([], usage=self._usage())
        yield DONE

    @property
    def _finish(self) -> str:
        """A call of the one tool that `tool_choice` names ends in `stop`; any other ends in `tool_calls`."""
        forced = self.asked.forced_tool is not None and self.said.finish == "tool_calls"
        return "stop" if forced or self._refuses else self.said.finish

    @property
    def _refuses(self) -> bool:
        return self.said.finish == "refusal"

    @property
    def _spent(self) -> Usage:
        return self.said.spent(self.asked.prompt_tokens)

    def _text(self) -> Iterator[Event]:
        silent = {"content": None, "refusal": ""} if self._refuses else {"content": "", "refusal": None}
        yield self._chunk({"role": "assistant", **silent})
        for word in self.said.words:
            yield self._chunk({"refusal" if self._refuses else "content": word}, content=True, words=(word,))
        if annotations := self._annotations():
            yield self._chunk({"annotations": annotations})

    def _calls(self, *, opened: bool) -> Iterator[Event]:
        """A single call is announced together with the role; of several, each is announced by itself after it."""
        alone = len(self.said.calls) == 1 and not opened
        if self.said.calls and not alone and not opened:
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

    def _annotations(self) -> list[JSON]:
        found = []
        for citation in self.said.citations:
            start = max(0, self.said.text.find(citation.cited))
            span = {"start_index": start, "end_index": start + len(citation.cited)}
            cited = {**span, "title": citation.title, "url": citation.url}
            found.append({"type": "url_citation", "url_citation": cited})
        return found

    def _chunk(
        self, delta: JSON, *, content: bool = False, finish: str | None = None, words: tuple[str, ...] = ()
    ) -> Event:
        return self._event([self._choice("delta", delta, finish=finish, words=words)], content=content)

    def _event(self, choices: list[JSON], *, usage: JSON | None = None, content: bool = False) -> Event:
        chunk = {**self._origin("chat.completion.chunk"), **self._system(), "choices": choices}
        if self.asked.include_usage:
            chunk["usage"] = usage
        if self.asked.include_obfuscation:
            length = len(str(choices))
            chunk["obfuscation"] = token("", self.number, length, length=3 + length % 13)
        return Event(json.dumps(chunk, separators=(",", ":"), ensure_ascii=False), content=content)

    def _choice(self, key: str, value: JSON, *, finish: str | None, words: tuple[str, ...]) -> JSON:
        told = self._logprobs(words) if self.asked.logprobs is not None and words else None
        logprobs = {"logprobs": told} if self.asked.model.logprobs else {}
        return {"index": 0, key: value, **logprobs, "finish_reason": finish}

    def _logprobs(self, words: tuple[str, ...]) -> JSON:
        """Every word is as likely, and has one alternative that is less so."""
        told = []
        for word in words:
            top = [_logprob(word, -0.1), _logprob(f"{word}?", -2.5)][: self.asked.logprobs]
            told.append({**_logprob(word, -0.1), "top_logprobs": top})
        return {"content": None, "refusal": told} if self._refuses else {"content": told, "refusal": None}

    def _origin(self, kind: str) -> JSON:
        name = token("chatcmpl-", self.number, length=29)
        return {"id": name, "object": kind, "created": self.created, "model": self.asked.model.snapshot}

    def _system(self) -> JSON:
        tier = {} if self.asked.model.searches else {"service_tier": "default"}
        return {**tier, "system_fingerprint": self.asked.model.fingerprint}

    def _usage(self) -> JSON:
        spent = self._spent
        return {
            "prompt_tokens": spent.input,
            "completion_tokens": spent.output,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {"cached_tokens": spent.cached, "audio_tokens": spent.audio_input},
            "completion_tokens_details": {
                "reasoning_tokens": spent.reasoning,
                "audio_tokens": spent.audio_output,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _logprob(word: str, value: float) -> JSON:
    return {"token": word, "logprob": value, "bytes": [*word.encode()]}
