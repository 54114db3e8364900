"""What texts and requests are taken to have in tokens, held against what providers counted."""

import json
import statistics
import time
from typing import Any

import pytest

from llm_service.canonical.tokens import SAMPLED, request_tokens, text_tokens
from llm_service.dialects import ANTHROPIC, GEMINI, OPENAI, Dialect
from llm_service.dialects.ingress import Ingress
from tests.llm_service.recordings import Recording, recordings

CUT = {  # by OpenAI's o200k_base
    "The quick brown fox jumps over the lazy dog.": 10,
    "A capital do Brasil é Brasília, e fica no planalto central.": 14,
    "巴西的首都是巴西利亚。这座城市建于二十世纪五十年代末。": 22,
    "Столица Бразилии — город Бразилиа, построенный в пятидесятых годах.": 23,
    "def plan(ingress: Ingress, *, policy: Policy) -> Plan:\n    return Plan(targets)\n": 23,
}
PROVIDERS: dict[str, Dialect] = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}


@pytest.mark.parametrize(("text", "tokens"), CUT.items())
def test_a_text_is_estimated_within_a_third(text: str, tokens: int) -> None:
    assert abs(text_tokens(text) - tokens) <= tokens / 3


def test_a_long_text_is_sampled_and_costs_no_more_than_a_short_one() -> None:
    long = "palavra " * 1_000_000
    started = time.perf_counter()
    counted = text_tokens(long)
    assert time.perf_counter() - started < 0.25
    assert counted == pytest.approx(text_tokens(long[:SAMPLED]) * len(long) / SAMPLED, rel=0.02)


def test_files_count_as_what_they_show_and_not_as_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    odd = {"type": "of_tomorrow", "of": "A" * 1_000_000}
    for part in (image, odd):
        asked = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
        assert Ingress(json.dumps(asked).encode(), dialect=OPENAI).tokens < 2_000


def counted_by(recording: Recording) -> int | None:
    """Input tokens, as the provider told them at the end."""
    told: list[int] = []

    def walk(value: Any) -> None:
        match value:
            case {"prompt_tokens": int(tokens)} | {"promptTokenCount": int(tokens)}:
                told.append(tokens)
            case {"input_tokens": int(tokens)}:
                cached = [value.get(f"cache_{kind}_input_tokens") or 0 for kind in ("read", "creation")]
                told.append(tokens + sum(cached))
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(one)

    walk([json.loads(one) for one in recording.sse_data if one != "[DONE]"] if recording.is_stream else recording.body)
    return told[-1] if told else None


def is_text(recording: Recording) -> bool:
    """What the provider reads is all in the request: no files, no tools of its own, no thoughts that it hides."""
    told = json.dumps(recording.request)
    others = ("image", "file", "document", "inlineData", "search", "execution", "fetch", "urlContext", "mcp", "memory")
    return recording.status == 200 and not any(word in told for word in (*others, "advisor", "defer", "ignature"))


@pytest.mark.parametrize(("provider", "most"), [("openai", 0.15), ("anthropic", 0.25), ("gemini", 0.15)])
def test_recorded_requests_are_estimated_as_documented(provider: str, most: float) -> None:
    """The median error of requests of 60 tokens and more; docs/llm.md has the figures."""
    dialect, errors = PROVIDERS[provider], []
    for recording in recordings(provider):
        if not isinstance(recording, Recording):
            pytest.skip("SYNAPSCALE_CASSETTES names no recordings")
        if not is_text(recording) or not ({"messages", "contents"} & recording.request.keys()):
            continue
        counted = counted_by(recording)
        if counted is None or counted < 60:
            continue
        request = dialect.parse_request({"model": "m", **recording.request})
        told = dialect.tokens_for_tools if request.tools else 0
        errors.append(abs(request_tokens(request) * dialect.token_ratio + told - counted) / counted)
    errors.sort()
    print(
        f"{provider}: {len(errors)}, median {statistics.median(errors):.0%}, p95 {errors[int(len(errors) * 0.95)]:.0%}"
    )
    assert statistics.median(errors) <= most
