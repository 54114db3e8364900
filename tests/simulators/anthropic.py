"""Anthropic's API on loopback: `async with AnthropicSimulator() as sim`, or `python -m tests.simulators.anthropic`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import parse_qs

from tests.simulators import anthropic_errors as errors
from tests.simulators import control
from tests.simulators.answers import Answer, Thought, answer_within, split
from tests.simulators.anthropic_messages import Message
from tests.simulators.anthropic_models import MODELS, find_model
from tests.simulators.anthropic_requests import MessageRequest, parse_message
from tests.simulators.connection import RecordedRequest
from tests.simulators.faults import NAMED, Fault
from tests.simulators.provider import FAULTS, Provider, before, fails, tells_usage
from tests.simulators.replies import Document, Event, EventStream, Reply
from tests.simulators.tokens import token

REQUESTS_PER_MINUTE = 4_000
TOKENS_PER_MINUTE = 480_000


class AnthropicSimulator(Provider):
    """Says what `answers` says, on the wire of api.anthropic.com; where thinking is asked for, it thinks first."""

    title: ClassVar[str] = "Anthropic"
    base_path: ClassVar[str] = ""
    default_key: ClassVar[str] = "sk-ant-simulated"

    def model_of(self, request: RecordedRequest) -> str:
        name = request.body.get("model") if isinstance(request.body, dict) else None
        return name if isinstance(name, str) else ""

    def headers_of(self, request: RecordedRequest) -> dict[str, str]:
        return {
            "date": formatdate(usegmt=True),
            "request-id": token("req_01", request.number, length=22),
            "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
            "cf-cache-status": "DYNAMIC",
            "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
            "server": "cloudflare",
            "server-timing": "x-originResponse;dur=12",
            "traceresponse": f"00-{'0' * 31}1-{'0' * 15}1-01",
            "vary": "Accept-Encoding",
            "x-robots-tag": "none",
        }

    def unprovoked(self, status: int, code: str | None = None) -> errors.Refusal:
        return errors.unprovoked(status, code)

    def authenticate(self, request: RecordedRequest) -> None:
        """The key in `x-api-key`, or as a bearer's token, which is how Anthropic's SDK sends it since version 2."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("x-api-key")
        if key is None and scheme.lower() != "bearer":
            raise errors.NO_KEY
        if key is not None and key != self.api_key:
            raise errors.WRONG_KEY
        if key is None and bearer != self.api_key:
            raise errors.WRONG_TOKEN
        if "anthropic-version" not in request.headers:
            raise errors.NO_VERSION

    def route(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["v1", "models"]:
                return _document(self._page(request.query), headers)
            case "GET", ["v1", "models", name]:
                return _document(_card(name), headers)
            case "POST", ["v1", "messages"]:
                return self._message(request, fault, headers)
            case "POST", ["v1", "messages", "count_tokens"]:
                counted = parse_message(request.body, beta=_beta(request), counting=True, signatures=self.signatures)
                return _document({"input_tokens": counted.prompt_tokens}, headers)
            case _, ["v1", "models"] | ["v1", "models", _] | ["v1", "messages"] | ["v1", "messages", "count_tokens"]:
                raise errors.WRONG_METHOD
            case _:
                raise errors.UNKNOWN_URL

    def _message(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        asked = parse_message(request.body, beta=_beta(request), signatures=self.signatures)
        said = self.said(lambda: _thinking(asked, request.number), fault)
        self.sign(thought.signature for thought in said.thoughts)
        message = Message(asked, said, request.number, tells_usage=tells_usage(fault))
        headers = {**headers, **_limits(request.number, message.total_tokens)}
        if not asked.stream:
            return errors.OVERLOADED.document(headers) if fails(fault) else _document(message.document(), headers)
        events = list(message.events())
        if fault and fails(fault):
            broken = json.dumps(errors.OVERLOADED.body(headers["request-id"]), separators=(",", ":"))
            events = [*before(events, fault), Event(broken, name="error")]
        kind = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        return EventStream(events, {**headers, **kind})

    def _page(self, query: str) -> dict[str, Any]:
        """`limit` (20, at most 1,000), `after_id` and `before_id`, as Anthropic pages its lists."""
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        limit = asked.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
            raise errors.Refusal("limit: Input should be greater than or equal to 1 and less than or equal to 1000")
        names = self._names()
        if "after_id" in asked:
            names = names[_position(names, asked["after_id"], "after_id") + 1 :]
            page, more = names[: int(limit)], len(names) > int(limit)
        elif "before_id" in asked:
            names = names[: _position(names, asked["before_id"], "before_id")]
            page, more = names[-int(limit) :], len(names) > int(limit)
        else:
            page, more = names[: int(limit)], len(names) > int(limit)
        first, last = (page[0], page[-1]) if page else (None, None)
        return {"data": [_card(name) for name in page], "has_more": more, "first_id": first, "last_id": last}

    def _names(self) -> list[str]:
        names = [model.snapshot for model in MODELS]
        faults = ["claude-sonnet-4-5-slow", *(f"fault-{name}" for name in NAMED)] if self.list_faults else []
        return names + faults


def _thinking(asked: MessageRequest, number: int) -> Answer:
    said = answer_within(asked.turns, asked.limits)
    if not asked.thinks:
        return said
    thought = Thought(split("The question is short, and so is the answer."), token("Eq", number, length=38) + "==")
    return Answer(said.words, said.calls, said.finish, (thought,), stopped_by=said.stopped_by)


def _beta(request: RecordedRequest) -> bool:
    return "anthropic-beta" in request.headers


def _card(name: str) -> dict[str, Any]:
    model = find_model(name, faults=FAULTS)
    if model is None:
        raise errors.unknown_model(name)
    return model.card() if name == model.name else {**model.card(), "id": name}


def _position(names: list[str], name: str, parameter: str) -> int:
    if name not in names:
        raise errors.Refusal(f"{parameter}: no such model")
    return names.index(name)


def _document(body: dict[str, Any], headers: Mapping[str, str]) -> Document:
    encoded = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Document(encoded, headers={**headers, "content-type": "application/json"})


def _limits(requests: int, tokens: int) -> dict[str, str]:
    """Of messages only, as at Anthropic: https://platform.claude.com/docs/en/api/rate-limits#response-headers."""
    reset = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    limits = {
        "requests": (REQUESTS_PER_MINUTE, requests),
        "tokens": (TOKENS_PER_MINUTE, tokens),
        "input-tokens": (TOKENS_PER_MINUTE, tokens),
        "output-tokens": (TOKENS_PER_MINUTE, tokens),
    }
    told: dict[str, str] = {}
    for name, (limit, used) in limits.items():
        told[f"anthropic-ratelimit-{name}-limit"] = str(limit)
        told[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, limit - used))
        told[f"anthropic-ratelimit-{name}-reset"] = reset
    return told


if __name__ == "__main__":
    control.main(AnthropicSimulator)
