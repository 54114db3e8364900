"""Servers that speak OpenAI's protocol with an accent: the simulator's answers, told as each of them tells them.

What differs is from their own pages and from recorded traffic; what is not told here is as OpenAI has it.
"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import msgspec

from tests.simulators.connection import RecordedRequest
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator
from tests.simulators.replies import Document, Event, EventStream, Reply

Json = dict[str, Any]
STAND_IN = "gpt-4o"
"""The model whose answers are told anew."""
THOUGHT = "A capital? Brasília."


def as_it_is(chunk: Json) -> Json:
    return chunk


def usage_of_groq(chunk: Json) -> Json:
    """Besides `usage`, beside its last word also in `x_groq`: https://console.groq.com/docs/api-reference."""
    told = {"x_groq": {"id": "req_1", **({"usage": chunk["usage"]} if chunk.get("usage") else {})}}
    if chunk["object"] == "chat.completion.chunk":  # what it sent before it knew stream_options, and sends still
        chunk = {name: value for name, value in chunk.items() if name != "usage"}
    return {**chunk, **told}


def cache_of_deepseek(chunk: Json) -> Json:
    """Hits of its cache have names of their own: https://api-docs.deepseek.com/guides/kv_cache."""
    if not (usage := chunk.get("usage")):
        return chunk
    asked = usage["prompt_tokens"]
    plain = {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    return {**chunk, "usage": {**plain, "prompt_cache_hit_tokens": 2, "prompt_cache_miss_tokens": asked - 2}}


def reasoning_of_xai(chunk: Json) -> Json:
    """Thoughts are not in `completion_tokens`, only in the total: https://docs.x.ai/docs/guides/reasoning."""
    if not (usage := chunk.get("usage")):
        return chunk
    details = {**usage["completion_tokens_details"], "reasoning_tokens": 7}
    total = usage["total_tokens"] + 7
    return {**chunk, "usage": {**usage, "total_tokens": total, "completion_tokens_details": details}}


def metrics_of_cerebras(chunk: Json) -> Json:
    """How long it took stands beside: https://inference-docs.cerebras.ai/api-reference/chat-completions."""
    return {**chunk, "time_info": {"queue_time": 0.001, "total_time": 0.02}} if chunk.get("usage") else chunk


def usage_with_the_last_word(chunk: Json) -> Json:
    """The usage stands in a chunk that still has a choice: https://docs.together.ai/docs/chat-overview."""
    if chunk.get("usage") and not chunk["choices"]:
        return {**chunk, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]}
    return chunk


def error_of_openai(status: int, message: str) -> Json:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


def error_of_openrouter(status: int, message: str) -> Json:
    """Its code is the status: https://openrouter.ai/docs/api/reference/errors-and-debugging."""
    return {"error": {"code": status, "message": message, "metadata": {"provider_name": "Somebody"}}}


def error_of_vllm(status: int, message: str) -> Json:
    """Older ones have no `error` around it: vllm/entrypoints/openai/protocol.py, ErrorResponse."""
    return {"object": "error", "message": message, "type": "InternalServerError", "param": None, "code": status}


def error_of_llama_cpp(status: int, message: str) -> Json:
    """https://github.com/ggml-org/llama.cpp/tree/master/tools/server, "Error handling"."""
    return {"error": {"code": status, "message": message, "type": "server_error"}}


def error_of_ollama(status: int, message: str) -> Json:
    """https://github.com/ollama/ollama/blob/main/openai/openai.go, Error."""
    return {"error": {"message": message, "type": "api_error", "param": None, "code": None}}


@dataclass(frozen=True, slots=True)
class Accent:
    """How one of them differs. `path` is what its base URL ends in."""

    path: str
    _: KW_ONLY
    key: str | None = "sk-simulated"
    model: str = "llama-3.3-70b"
    thoughts: str | None = None
    """The field in which it tells them, where it does."""
    tells: Callable[[Json], Json] = as_it_is
    counts: Mapping[str, int] = field(default_factory=dict)
    """What `tells` says in words of its own, in ours."""
    comment: str | None = None
    """What it sends while nothing is said."""
    error: Callable[[int, str], Json] = error_of_openai
    breaks_off_with_choice: bool = False
    """Whether an error in the stream has a choice beside it that ends for `error`."""


ACCENTS: Mapping[str, Accent] = {
    "groq": Accent("/openai/v1", thoughts="reasoning", tells=usage_of_groq),
    "deepseek": Accent(
        "/v1",
        model="deepseek-chat",
        thoughts="reasoning_content",
        tells=cache_of_deepseek,
        counts={"cached_input_tokens": 2},
        comment="keep-alive",
    ),
    "xai": Accent(
        "/v1",
        model="grok-4",
        thoughts="reasoning_content",
        tells=reasoning_of_xai,
        counts={"reasoning_tokens": 7},
    ),
    "openrouter": Accent(
        "/api/v1",
        model="meta-llama/llama-3.3-70b",
        thoughts="reasoning",
        comment="OPENROUTER PROCESSING",
        error=error_of_openrouter,
        breaks_off_with_choice=True,
    ),
    "together": Accent("/v1", model="meta-llama/Llama-3.3-70B", thoughts="reasoning", tells=usage_with_the_last_word),
    "fireworks": Accent("/inference/v1", model="accounts/fireworks/models/deepseek-v3p1", thoughts="reasoning_content"),
    "cerebras": Accent("/v1", model="gpt-oss-120b", thoughts="reasoning", tells=metrics_of_cerebras),
    "ollama": Accent("/v1", key=None, model="llama3.2:latest", thoughts="reasoning", error=error_of_ollama),
    "vllm": Accent("/v1", key=None, model="Qwen/QwQ-32B", thoughts="reasoning_content", error=error_of_vllm),
    "lm_studio": Accent("/v1", key=None, model="qwen3-8b", thoughts="reasoning_content"),
    "llama_cpp": Accent("/v1", key=None, model="ggml-model", thoughts="reasoning_content", error=error_of_llama_cpp),
}
"""By their names in config/llm.yaml."""


class CompatibleSimulator(OpenAISimulator):
    """One of ACCENTS. It thinks THOUGHT before every answer; a fault `error-…` is told in its own words."""

    def __init__(self, accent: Accent, **options: Any) -> None:
        super().__init__(**options)
        self.accent = accent

    def authenticate(self, request: RecordedRequest) -> None:
        if self.accent.key is not None:
            super().authenticate(request)

    def route(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        below = request.path.removeprefix(self.accent.path)
        if request.method == "GET" and below == "/models":
            card = {"id": self.accent.model, "object": "model", "created": 0, "owned_by": "somebody"}
            return _document({"object": "list", "data": [card]})
        asked = {**request.body, "model": STAND_IN}
        stood_in = replace(request, path=self.base_path + below, raw=msgspec.json.encode(asked))
        broken = fault is not None and fault.name in ("error-first", "error-later")
        answer = super().route(stood_in, None if broken else fault, headers)
        if isinstance(answer, Document):
            return _document(self._tell(msgspec.json.decode(answer.body), "message"))
        return replace(answer, events=self._events(answer, fault if broken else None))

    def _events(self, answer: EventStream, fault: Fault | None) -> list[Event]:
        told: list[Event] = []
        first, said = True, 0
        comment = [Event("", comment=self.accent.comment)] if self.accent.comment else []
        for event in answer.events:
            if fault and said == (fault.after if fault.name == "error-later" else 0) and (event.content or not said):
                return [*told, self._broken(event)]
            told += comment
            if event.data != "[DONE]":
                chunk = self._tell(msgspec.json.decode(event.data), "delta" if first else None)
                event, first = replace(event, data=msgspec.json.encode(chunk).decode()), False
            told.append(event)
            said += event.content
        return told

    def _tell(self, chunk: Json, thinks_in: str | None) -> Json:
        chunk = self.accent.tells({**chunk, "model": self.accent.model})
        if thinks_in and self.accent.thoughts:
            chunk["choices"][0][thinks_in][self.accent.thoughts] = THOUGHT
        return chunk

    def _broken(self, event: Event) -> Event:
        error = self.accent.error(502, "It broke.")
        if self.accent.breaks_off_with_choice:
            choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
            error = {**msgspec.json.decode(event.data), **error, "choices": [choice]}
        return Event(msgspec.json.encode(error).decode())


def _document(body: Json) -> Document:
    return Document(msgspec.json.encode(body), headers={"content-type": "application/json"})
