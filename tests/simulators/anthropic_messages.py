"""An Anthropic message in both of its shapes: one document, or a stream of events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Answer, Citation, Thought, ToolCall, Usage
from tests.simulators.anthropic_requests import MessageRequest
from tests.simulators.replies import Event
from tests.simulators.tokens import token

JSON = dict[str, Any]
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}
_CSP = "This request triggered restrictions on violative content."


@dataclass(frozen=True, slots=True)
class Message:
    """`said` in answer to `asked`; its identifiers follow from `number`, which differs between answers."""

    asked: MessageRequest
    said: Answer
    number: int
    tells_usage: bool = True

    def document(self) -> JSON:
        content = [block for block, _ in self._blocks()]
        usage = {**self._usage(self._spent.output), **self._thought_tokens()}
        return {**self._opening(content), **self._ending(), **self._told(usage)}

    def events(self) -> Iterator[Event]:
        """As recorded: a ping after the first block opened, and the whole usage in `message_delta` again."""
        opening = {**self._opening([]), "stop_reason": None, "stop_sequence": None, "stop_details": None}
        opening |= self._told(self._usage(min(1, self._spent.output)))
        yield _event("message_start", {"message": opening})
        pinged = False
        for index, (block, deltas) in enumerate(self._blocks()):
            opened = block["type"] in ("tool_use", "redacted_thinking")
            yield _event("content_block_start", {"index": index, "content_block": _emptied(block)}, content=opened)
            if not pinged:
                pinged = True
                yield Event('{"type": "ping"}', name="ping")
            for delta in deltas:
                yield _event("content_block_delta", {"index": index, "delta": delta}, content=True)
            yield _event("content_block_stop", {"index": index})
        yield _event("message_delta", {"delta": self._ending(), **self._told(self._final_usage())})
        yield _event("message_stop", {})

    @property
    def total_tokens(self) -> int:
        return self._spent.input + self._spent.output

    @property
    def _spent(self) -> Usage:
        return self.said.spent(self.asked.prompt_tokens)

    def _opening(self, content: list[JSON]) -> JSON:
        name = token("msg_01", self.number, length=22)
        who = {"id": name, "type": "message", "role": "assistant"}
        return {"model": self.asked.model.snapshot, **who, "content": content}

    def _ending(self) -> JSON:
        reason = "stop_sequence" if self.said.stopped_by else STOP_REASONS.get(self.said.finish, self.said.finish)
        details = {"type": "refusal", "category": None, "explanation": _CSP} if reason == "refusal" else None
        return {"stop_reason": reason, "stop_sequence": self.said.stopped_by, "stop_details": details}

    def _blocks(self) -> Iterator[tuple[JSON, list[JSON]]]:
        """Each block whole, with the deltas in which it is streamed."""
        for thought in self.said.thoughts:
            yield _thought(thought)
        if self.said.words:
            yield self._text()
        assert not self.said.images, "Anthropic's models draw no pictures"
        for at, call in enumerate(self.said.calls):
            yield self._call(call, at)

    def _text(self) -> tuple[JSON, list[JSON]]:
        block: JSON = {"type": "text", "text": self.said.text}
        deltas: list[JSON] = []
        if self.said.citations:
            block["citations"] = [_citation(citation) for citation in self.said.citations]
            deltas += [{"type": "citations_delta", "citation": citation} for citation in block["citations"]]
        return block, [*deltas, *({"type": "text_delta", "text": word} for word in self.said.words)]

    def _call(self, made: ToolCall, at: int) -> tuple[JSON, list[JSON]]:
        """Arguments that a limit cut short come out as what could be read of them: nothing."""
        try:
            arguments = json.loads(made.arguments or "{}")
        except ValueError:
            arguments = {}
        name = token("toolu_01", self.number, at, length=22)
        block = {"type": "tool_use", "id": name, "name": made.name, "input": arguments, "caller": {"type": "direct"}}
        fragments = ["", *made.fragments]
        return block, [{"type": "input_json_delta", "partial_json": fragment} for fragment in fragments]

    def _usage(self, output: int) -> JSON:
        spent = self._spent
        return {
            "input_tokens": spent.input - spent.cached - spent.cache_written,
            "cache_creation_input_tokens": spent.cache_written,
            "cache_read_input_tokens": spent.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": spent.cache_written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
            "service_tier": "standard",
            "inference_geo": "not_available",
        }

    def _final_usage(self) -> JSON:
        kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
        usage = {name: value for name, value in self._usage(self._spent.output).items() if name in kept}
        return {**usage, **self._thought_tokens()}

    def _thought_tokens(self) -> JSON:
        reasoning = self._spent.reasoning
        return {"output_tokens_details": {"thinking_tokens": reasoning}} if reasoning else {}

    def _told(self, usage: JSON) -> JSON:
        return {"usage": usage} if self.tells_usage else {}


def _thought(thought: Thought) -> tuple[JSON, list[JSON]]:
    if thought.redacted:
        return {"type": "redacted_thinking", "data": thought.signature}, []
    deltas: list[JSON] = [{"type": "thinking_delta", "thinking": word} for word in thought.words]
    signed = [{"type": "signature_delta", "signature": thought.signature}] if thought.signature else []
    block = {"type": "thinking", "thinking": thought.text, "signature": thought.signature or ""}
    return block, [*deltas, *signed]


def _citation(citation: Citation) -> JSON:
    """Of the web where it has an address, of the first document otherwise."""
    if citation.url:
        return {
            "type": "web_search_result_location",
            "cited_text": citation.cited,
            "url": citation.url,
            "title": citation.title,
            "encrypted_index": "Eo8BCioIAhgBIiQ",
        }
    place = {"document_index": 0, "document_title": citation.title, "file_id": None}
    span = {"start_char_index": 0, "end_char_index": len(citation.cited)}
    return {"type": "char_location", "cited_text": citation.cited, **place, **span}


def _emptied(block: JSON) -> JSON:
    """The block as it is announced, before its deltas."""
    empty: JSON = {"text": "", "thinking": "", "signature": "", "input": {}, "citations": []}
    return {key: empty.get(key, value) for key, value in block.items()}


def _event(name: str, fields: JSON, *, content: bool = False) -> Event:
    """Padded before its last brace, as Anthropic pads against guesses by length."""
    encoded = json.dumps({"type": name, **fields}, separators=(",", ":"), ensure_ascii=False)
    padding = " " * (len(encoded) * 7 % 16)
    return Event(f"{encoded[:-1]}{padding}}}", content=content, name=name)
