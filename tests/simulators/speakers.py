"""Speaking to any simulator without a client of anybody: its paths, its keys, and where an answer has its words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.provider import Provider

JSON = dict[str, Any]


@dataclass(eq=False)
class Heard:
    """What came of a stream, and the error that ended it if one did."""

    writes: list[bytes] = field(default_factory=list)
    error: Exception | None = None

    @property
    def events(self) -> list[JSON]:
        """Those that are JSON."""
        return [json.loads(line) for line in self.data if not _broken(line)]

    @property
    def broken(self) -> list[str]:
        return [line for line in self.data if _broken(line)]

    @property
    def data(self) -> list[str]:
        lines = b"".join(self.writes).decode(errors="replace").splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ") and line != "data: [DONE]"]


@dataclass(frozen=True)
class Speaker:
    """One provider's wire."""

    kind: type[Provider]
    model: str

    def __str__(self) -> str:
        return self.kind.title

    def key(self, sim: Provider) -> dict[str, str]:
        return {"authorization": f"Bearer {sim.api_key}"}

    def path(self, model: str, *, stream: bool) -> str:
        return "/v1/chat/completions"

    def body(self, model: str, said: str, *, stream: bool) -> JSON:
        return {"model": model, "messages": [{"role": "user", "content": said}], "stream": stream}

    def pieces(self, document: JSON) -> Iterator[str]:
        """The words of a whole answer, or of one event."""
        for choice in document.get("choices", ()):
            yield choice.get("message", choice.get("delta", {})).get("content") or ""

    def finish(self, document: JSON) -> str | None:
        return next((choice["finish_reason"] for choice in document.get("choices", ())), None)

    def usage(self, document: JSON) -> JSON | None:
        usage: JSON | None = document.get("usage")
        return usage

    async def ask(
        self, sim: Provider, said: str = "Count to 6", *, model: str | None = None, patience: float = 5.0
    ) -> httpx2.Response:
        async with self._client(sim, patience) as client:
            name = model or self.model
            return await client.post(self.path(name, stream=False), json=self.body(name, said, stream=False))

    async def listen(
        self, sim: Provider, said: str = "Count to 6", *, model: str | None = None, patience: float = 5.0
    ) -> Heard:
        heard = Heard()
        name = model or self.model
        body = self.body(name, said, stream=True)
        try:
            async with (
                self._client(sim, patience) as client,
                client.stream("POST", self.path(name, stream=True), json=body) as answer,
            ):
                async for write in answer.aiter_raw():
                    heard.writes.append(write)
        except httpx2.HTTPError as error:
            heard.error = error
        return heard

    def text(self, heard: Heard) -> str:
        return "".join(piece for event in heard.events for piece in self.pieces(event))

    def finishes(self, heard: Heard) -> list[str]:
        return [finish for event in heard.events if (finish := self.finish(event))]

    def _client(self, sim: Provider, patience: float) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=sim.root_url, headers=self.key(sim), verify=False, timeout=patience)


class OpenAISpeaker(Speaker):
    def body(self, model: str, said: str, *, stream: bool) -> JSON:
        options = {"stream_options": {"include_usage": True}} if stream else {}
        return {**super().body(model, said, stream=stream), **options}


class AnthropicSpeaker(Speaker):
    def key(self, sim: Provider) -> dict[str, str]:
        return {"x-api-key": sim.api_key, "anthropic-version": "2023-06-01"}

    def path(self, model: str, *, stream: bool) -> str:
        return "/v1/messages"

    def body(self, model: str, said: str, *, stream: bool) -> JSON:
        return {**super().body(model, said, stream=stream), "max_tokens": 1000}

    def pieces(self, document: JSON) -> Iterator[str]:
        yield from (block.get("text", "") for block in document.get("content", ()))
        yield document.get("delta", {}).get("text", "")

    def finish(self, document: JSON) -> str | None:
        reason: str | None = document.get("stop_reason") or document.get("delta", {}).get("stop_reason")
        return reason

    def usage(self, document: JSON) -> JSON | None:
        usage: JSON | None = document.get("usage") or document.get("message", {}).get("usage")
        return usage


class GeminiSpeaker(Speaker):
    def key(self, sim: Provider) -> dict[str, str]:
        return {"x-goog-api-key": sim.api_key}

    def path(self, model: str, *, stream: bool) -> str:
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{method}"

    def body(self, model: str, said: str, *, stream: bool) -> JSON:
        return {"contents": [{"role": "user", "parts": [{"text": said}]}]}

    def pieces(self, document: JSON) -> Iterator[str]:
        for candidate in document.get("candidates", ()):
            yield from (part.get("text", "") for part in candidate["content"].get("parts", ()))

    def finish(self, document: JSON) -> str | None:
        return next((candidate.get("finishReason") for candidate in document.get("candidates", ())), None)

    def usage(self, document: JSON) -> JSON | None:
        usage: JSON | None = document.get("usageMetadata")
        return usage


SPEAKERS: tuple[Speaker, ...] = (
    OpenAISpeaker(OpenAISimulator, "gpt-4o"),
    AnthropicSpeaker(AnthropicSimulator, "claude-sonnet-4-5"),
    GeminiSpeaker(GeminiSimulator, "gemini-2.5-flash"),
    Speaker(MistralSimulator, "mistral-large-latest"),
)


def _broken(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return True
    return False
