"""Mistral's API on loopback: `async with MistralSimulator() as sim`, or `python -m tests.simulators.mistral`."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any, ClassVar

from tests.simulators import control
from tests.simulators import mistral_errors as errors
from tests.simulators.answers import Answer, Thought, answer_within, count_tokens, split
from tests.simulators.connection import RecordedRequest
from tests.simulators.embeddings import packed, vector
from tests.simulators.faults import NAMED, Fault
from tests.simulators.mistral_completions import Completion
from tests.simulators.mistral_models import NAMES, find_model
from tests.simulators.mistral_requests import ChatRequest, parse_chat
from tests.simulators.provider import FAULTS, Provider, before, fails, tells_usage
from tests.simulators.replies import Document, Event, EventStream, Reply
from tests.simulators.shapes import OBJECT, REQUIRED_ANY, integer, problems, string
from tests.simulators.tokens import token

REQUESTS_PER_MINUTE = 300
TOKENS_PER_MINUTE = 2_000_000
_EMBEDDING = {
    "model": string(required=True),
    "input": REQUIRED_ANY,
    "metadata": OBJECT,
    "output_dimension": integer(1),
    "output_dtype": string("float", "int8", "uint8", "binary", "ubinary"),
    "encoding_format": string("float", "base64"),
}


class MistralSimulator(Provider):
    """Says what `answers` says, on the wire of api.mistral.ai; its reasoning models think first."""

    title: ClassVar[str] = "Mistral"
    base_path: ClassVar[str] = "/v1"
    default_key: ClassVar[str] = "simulated-mistral"

    def model_of(self, request: RecordedRequest) -> str:
        name = request.body.get("model") if isinstance(request.body, dict) else None
        return name if isinstance(name, str) else ""

    def headers_of(self, request: RecordedRequest) -> dict[str, str]:
        letters = "0123456789abcdef"
        parts = [token("", request.number, length, length=length, letters=letters) for length in (8, 4, 3, 3, 12)]
        return {
            "date": formatdate(usegmt=True),
            "access-control-allow-origin": "*",
            "mistral-correlation-id": f"{parts[0]}-{parts[1]}-7{parts[2]}-a{parts[3]}-{parts[4]}",
            "x-kong-request-id": token("", request.number, length=32, letters=letters),
        }

    def unprovoked(self, status: int, code: str | None = None) -> errors.Refusal:
        return errors.unprovoked(status, code)

    def authenticate(self, request: RecordedRequest) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key != self.api_key:
            raise errors.UNAUTHORIZED

    def route(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        match request.method, request.path.removeprefix(self.base_path).split("/")[1:]:
            case "GET", ["models"]:
                return _document({"object": "list", "data": [_card(name) for name in self._names()]}, headers)
            case "GET", ["models", name]:
                return _document(_card(name), headers)
            case "POST", ["chat", "completions"]:
                return self._complete(request, fault, headers)
            case "POST", ["embeddings"]:
                return _document(_embed(request.body, request.number), headers)
            case _, ["models"] | ["models", _] | ["chat", "completions"] | ["embeddings"]:
                raise errors.WRONG_METHOD
            case _:
                raise errors.UNKNOWN_URL

    def _complete(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        asked = parse_chat(request.body)
        said = self.said(lambda: _thinking(asked), fault)
        completion = Completion(asked, said, request.number, int(time.time()), tells_usage=tells_usage(fault))
        headers = {**headers, **_limits(request.number, completion.total_tokens)}
        failure = errors.unprovoked(500)
        if not asked.stream:
            return failure.document(headers) if fails(fault) else _document(completion.document(), headers)
        events = list(completion.events())
        if fault and fails(fault):
            events = [*before(events, fault), Event(json.dumps(failure.body, separators=(",", ":")))]
        return EventStream(events, {**headers, "content-type": "text/event-stream; charset=utf-8"})

    def _names(self) -> list[str]:
        faults = ["mistral-large-latest-slow", *(f"fault-{name}" for name in NAMED)] if self.list_faults else []
        return [*NAMES, *faults]


def _thinking(asked: ChatRequest) -> Answer:
    said = answer_within(asked.turns, asked.limits)
    thought = Thought(split("The question is short, and so is the answer."))
    return replace(said, thoughts=(thought,)) if asked.thinks else said


def _embed(body: Any, number: int) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise errors.NOT_JSON
    if found := [*problems(body, _EMBEDDING)]:
        raise errors.malformed(found)
    model = find_model(body["model"], faults=FAULTS)
    if model is None or not (model.dimensions or body["model"].startswith("fault-")):
        raise errors.unknown_model(body["model"])
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise errors.error("Input must be a text or a list of texts", "invalid_request_error", "3001")
    dimensions = body.get("output_dimension") or model.dimensions or 1024
    vectors = [vector(text, dimensions) for text in texts]
    base64 = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "embedding": packed(one) if base64 else one, "index": at}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(count_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_audio_seconds": None}
    name = token("", number, length=32, letters="0123456789abcdef")
    return {"id": name, "object": "list", "data": data, "model": body["model"], "usage": usage}


def _card(name: str) -> dict[str, Any]:
    model = find_model(name, faults=FAULTS)
    if model is None:
        raise errors.error(f"Model {name} not found", "invalid_model", "1500", status=404)
    return model.card(name)


def _document(body: dict[str, Any], headers: Mapping[str, str]) -> Document:
    encoded = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Document(encoded, headers={**headers, "content-type": "application/json"})


def _limits(requests: int, tokens: int) -> dict[str, str]:
    return {
        "x-ratelimit-limit-req-minute": str(REQUESTS_PER_MINUTE),
        "x-ratelimit-remaining-req-minute": str(max(0, REQUESTS_PER_MINUTE - requests)),
        "x-ratelimit-limit-tokens-minute": str(TOKENS_PER_MINUTE),
        "x-ratelimit-remaining-tokens-minute": str(max(0, TOKENS_PER_MINUTE - tokens)),
        "x-ratelimit-tokens-query-cost": str(tokens),
    }


if __name__ == "__main__":
    control.main(MistralSimulator)
