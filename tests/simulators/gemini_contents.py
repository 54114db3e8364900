"""Gemini's answer in both of its shapes: one document, or a stream of the same with a piece of the content each."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Answer, Usage
from tests.simulators.gemini_requests import ContentRequest
from tests.simulators.replies import Event
from tests.simulators.tokens import token

JSON = dict[str, Any]
FINISH_REASONS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "refusal": "PROHIBITED_CONTENT",
}
BLOCKED = "blocked:"
"""`finish="blocked:SAFETY"` is an answer without candidates: the question was not even let through."""


@dataclass(frozen=True, slots=True)
class Content:
    """`said` in answer to `asked`; its identifiers follow from `number`, which differs between answers."""

    asked: ContentRequest
    said: Answer
    number: int
    tells_usage: bool = True

    def document(self) -> JSON:
        """The parts of one kind in a row joined, the signature of the text with it."""
        parts = _joined([part for part, _ in self._parts()])
        if self._signature and self.asked.model.signs:
            [*filter(_spoken, parts)][-1]["thoughtSignature"] = self._signature
        return self._response(parts, output=self._spent.output - self._spent.reasoning, last=True)

    def events(self) -> Iterator[Event]:
        """Gemini 3 ends in an empty text; a model before it ends with its last piece."""
        pieces = [*self._parts()]
        trailing = self.asked.model.signs or not pieces
        told = 0
        for at, (part, tokens) in enumerate(pieces):
            last = not trailing and at == len(pieces) - 1
            told += tokens if self.asked.model.generation >= 2.5 else 0
            output = self._spent.output - self._spent.reasoning if last else told
            yield _event(self._response([part], output=output, last=last), content=bool(part.get("text", True)))
        if trailing:
            output = self._spent.output - self._spent.reasoning
            signed = {"thoughtSignature": self._signature} if self._signature and self.asked.model.signs else {}
            yield _event(self._response([{"text": "", **signed}] if pieces else [], output=output, last=True))

    @property
    def _spent(self) -> Usage:
        return self.said.spent(self.asked.prompt_tokens)

    @property
    def total_tokens(self) -> int:
        return self._spent.input + self._spent.output

    @property
    def _carried(self) -> str | None:
        """What signs the thought is carried by the first call, or else by the text."""
        return next((thought.signature for thought in self.said.thoughts if thought.signature), None)

    @property
    def _signature(self) -> str | None:
        """Of the text, if there is one."""
        own = self.said.signature or (None if self.said.calls else self._carried)
        return own if self.said.words else None

    def _parts(self) -> Iterator[tuple[JSON, int]]:
        """Each piece with its tokens; the first word is signed, except by Gemini 3, which signs the end."""
        if self.asked.shows_thoughts:
            for thought in self.said.thoughts:
                yield from (({"text": word, "thought": True}, 0) for word in thought.words)
        for at, word in enumerate(self.said.words):
            first = self._signature and at == 0 and not self.asked.model.signs
            carried = {"thoughtSignature": self._signature} if first else {}
            yield {"text": word, **carried}, 1
        for image in self.said.images:
            yield {"inlineData": {"mimeType": image.media_type, "data": image.data}}, 1290
        for at, call in enumerate(self.said.calls):
            try:
                arguments = json.loads(call.arguments or "{}")
            except ValueError:
                arguments = {}  # cut short by a limit
            signature = call.signature or (self._carried if at == 0 else None)
            signed = {"thoughtSignature": signature} if signature else {}
            part = {"functionCall": {"name": call.name, "args": arguments}, **signed}
            yield part, 1 + len(call.fragments)

    def _response(self, parts: list[JSON], *, output: int, last: bool) -> JSON:
        response: JSON = {}
        if self.said.finish.startswith(BLOCKED):
            response["promptFeedback"] = {"blockReason": self.said.finish.removeprefix(BLOCKED)}
        else:
            response["candidates"] = [self._candidate(parts, last=last)]
        if self.tells_usage:
            response["usageMetadata"] = self._usage(output)
        name = hashlib.sha256(str(self.number).encode()).hexdigest()[:23]
        return {**response, "modelVersion": self.asked.model.name, "responseId": name}

    def _candidate(self, parts: list[JSON], *, last: bool) -> JSON:
        withheld = last and not parts and self.said.finish == "content_filter"
        candidate: JSON = {"content": {} if withheld else {**({"parts": parts} if parts else {}), "role": "model"}}
        if last:
            candidate["finishReason"] = FINISH_REASONS.get(self.said.finish, self.said.finish)
            candidate |= self._judgement()
        if self.asked.model.generation >= 2.5:
            candidate["index"] = 0
        if last and self.said.citations:
            candidate["groundingMetadata"] = self._grounding()
        if last and (self.asked.logprobs is not None or self.asked.model.generation < 2.5):
            candidate["avgLogprobs"] = -0.1
        if last and self.asked.logprobs is not None:
            candidate["logprobsResult"] = self._logprobs(self.asked.logprobs)
        return candidate

    def _judgement(self) -> JSON:
        if self.said.finish != "content_filter":
            return {}
        ratings: list[JSON] = [{"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "HIGH", "blocked": True}]
        for name in ("DANGEROUS_CONTENT", "HARASSMENT", "SEXUALLY_EXPLICIT"):
            ratings.append({"category": f"HARM_CATEGORY_{name}", "probability": "NEGLIGIBLE"})
        return {"safetyRatings": ratings}

    def _grounding(self) -> JSON:
        chunks: list[JSON] = []
        supports: list[JSON] = []
        for at, citation in enumerate(self.said.citations):
            chunks.append({"web": {"uri": citation.url, "title": citation.title}})
            start = max(0, self.said.text.find(citation.cited))
            span = {"startIndex": len(self.said.text[:start].encode())} if start else {}
            end = len(self.said.text[: start + len(citation.cited)].encode())
            segment = {**span, "endIndex": end, "text": citation.cited}
            supports.append({"segment": segment, "groundingChunkIndices": [at]})
        return {"groundingChunks": chunks, "groundingSupports": supports, "webSearchQueries": ["simulated"]}

    def _logprobs(self, alternatives: int) -> JSON:
        chosen = [{"token": word, "tokenId": at, "logProbability": -0.1} for at, word in enumerate(self.said.words)]
        others = [{"token": f"{word}?", "logProbability": -2.5} for word in self.said.words]
        top = [{"candidates": [one, other][:alternatives]} for one, other in zip(chosen, others, strict=True)]
        return {"topCandidates": top, "chosenCandidates": chosen}

    def _usage(self, output: int) -> JSON:
        spent = self._spent
        usage: JSON = {"promptTokenCount": spent.input}
        if output:
            usage["candidatesTokenCount"] = output
        usage["totalTokenCount"] = spent.input + output + spent.reasoning
        if spent.cached:
            usage["cachedContentTokenCount"] = spent.cached
        text = spent.input - spent.audio_input - 258 * self.asked.images
        modalities = (("TEXT", text), ("IMAGE", 258 * self.asked.images), ("AUDIO", spent.audio_input))
        usage["promptTokensDetails"] = [
            {"modality": name, "tokenCount": count} for name, count in modalities if count > 0
        ]
        if spent.cached:
            usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": spent.cached}]
        if spent.reasoning:
            usage["thoughtsTokenCount"] = spent.reasoning
        return usage


def signature_of(number: int) -> str:
    """Base64, as Gemini's are."""
    return "Eo" + token("", number, length=38)


def encode(response: JSON) -> str:
    """With Google's own white space within a stream."""
    return json.dumps(response, separators=(",", ": "), ensure_ascii=False)


def _event(response: JSON, *, content: bool = False) -> Event:
    return Event(encode(response), content=content)


def _spoken(part: JSON) -> bool:
    return "text" in part and "thought" not in part


def _joined(parts: list[JSON]) -> list[JSON]:
    joined: list[JSON] = []
    for part in parts:
        if joined and "text" in part and "text" in joined[-1] and part.get("thought") == joined[-1].get("thought"):
            joined[-1] = {**joined[-1], **part, "text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined
