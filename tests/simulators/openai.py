"""OpenAI's chat API on loopback: `async with OpenAISimulator() as sim`, or `python -m tests.simulators.openai`."""

import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, ClassVar

from tests.simulators import control
from tests.simulators import openai_errors as errors
from tests.simulators.connection import RecordedRequest
from tests.simulators.faults import NAMED, Fault
from tests.simulators.openai_completions import Completion, said_to
from tests.simulators.openai_embeddings import MODELS as EMBEDDING_MODELS
from tests.simulators.openai_embeddings import embed
from tests.simulators.openai_models import MODELS, find_model
from tests.simulators.openai_requests import parse_completion
from tests.simulators.provider import FAULTS, Provider, before, fails, tells_usage
from tests.simulators.replies import Document, Event, EventStream, Reply
from tests.simulators.tokens import token

REQUESTS_PER_MINUTE = 10_000
TOKENS_PER_MINUTE = 2_000_000


class OpenAISimulator(Provider):
    """Says what `answers` says, on the wire of api.openai.com."""

    title: ClassVar[str] = "OpenAI"
    base_path: ClassVar[str] = "/v1"
    default_key: ClassVar[str] = "sk-simulated"

    def model_of(self, request: RecordedRequest) -> str:
        name = request.body.get("model") if isinstance(request.body, dict) else None
        return name if isinstance(name, str) else ""

    def headers_of(self, request: RecordedRequest) -> dict[str, str]:
        return _headers(request.number)

    def unprovoked(self, status: int, code: str | None = None) -> errors.Refusal:
        return errors.unprovoked(status, code)

    def authenticate(self, request: RecordedRequest) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise errors.no_key()
        if key != self.api_key:
            raise errors.wrong_key(key)

    def route(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        match request.method, request.path.removeprefix(self.base_path).split("/")[1:]:
            case "GET", ["models"]:
                return _document({"object": "list", "data": [_card(name) for name in self._names()]}, headers)
            case "GET", ["models", name]:
                return _document(_card(name), headers)
            case "POST", ["chat", "completions"]:
                return self._complete(request, fault, headers)
            case "POST", ["embeddings"]:
                return _document(embed(request.body, faults=FAULTS), headers)
            case method, ["models"] | ["models", _] | ["chat", "completions"] | ["embeddings"]:
                raise errors.wrong_method(method, request.path)
            case method, _:
                raise errors.unknown_url(method, request.path)

    def _complete(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        asked = parse_completion(request.body, faults=FAULTS)
        said = self.said(lambda: said_to(asked), fault)
        completion = Completion(asked, said, request.number, int(time.time()), tells_usage=tells_usage(fault))
        headers = {**headers, **_limits(request.number, completion.total_tokens)}
        if not asked.stream:
            failed = fails(fault)
            return errors.unprovoked(500).document(headers) if failed else _document(completion.document(), headers)
        events = list(completion.events())
        if fault and fails(fault):
            events = [*before(events, fault), Event(json.dumps(errors.unprovoked(500).body))]
        return EventStream(events, {**headers, "content-type": "text/event-stream; charset=utf-8"})

    def _names(self) -> list[str]:
        names = [name for model in MODELS for name in (model.name, model.snapshot)]
        names += EMBEDDING_MODELS
        return [*names, "gpt-4o-slow", *(f"fault-{name}" for name in NAMED)] if self.list_faults else names


def _card(name: str) -> dict[str, Any]:
    if name in EMBEDDING_MODELS:
        return {"id": name, "object": "model", "created": 1_705_948_997, "owned_by": "system"}
    model = find_model(name, faults=FAULTS)
    if model is None:
        raise errors.unlisted_model(name)
    return {"id": name, "object": "model", "created": model.created, "owned_by": "system"}


def _document(body: dict[str, Any], headers: Mapping[str, str]) -> Document:
    """Indented by two, with a line end: OpenAI's own layout, to the byte."""
    encoded = json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n"
    return Document(encoded, headers={**headers, "content-type": "application/json"})


def _headers(number: int) -> dict[str, str]:
    """Of every answer; those of TLS (strict-transport-security, alt-svc) would be untrue here."""
    return {
        "date": formatdate(usegmt=True),
        "access-control-expose-headers": "X-Request-ID",
        "openai-organization": "simulated",
        "openai-processing-ms": "12",
        "openai-project": "proj_simulated",
        "openai-version": "2020-10-01",
        "x-content-type-options": "nosniff",
        "x-request-id": token("req_", number, length=32, letters="0123456789abcdef"),
    }


def _limits(requests: int, tokens: int) -> dict[str, str]:
    """Of completions only, as at OpenAI."""
    return {
        "x-ratelimit-limit-requests": str(REQUESTS_PER_MINUTE),
        "x-ratelimit-limit-tokens": str(TOKENS_PER_MINUTE),
        "x-ratelimit-remaining-requests": str(max(0, REQUESTS_PER_MINUTE - requests)),
        "x-ratelimit-remaining-tokens": str(max(0, TOKENS_PER_MINUTE - tokens)),
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "0s",
    }


if __name__ == "__main__":
    control.main(OpenAISimulator)
