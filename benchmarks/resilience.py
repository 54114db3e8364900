"""What a client sees of failing providers: the table of docs/resilience.md, measured.

PYTHONPATH=. .venv/bin/python benchmarks/resilience.py            # prints it; half a minute, loopback only
PYTHONPATH=. .venv/bin/python benchmarks/resilience.py --write    # puts it into docs/resilience.md

Two simulated providers, OpenAI first and Anthropic after it, behind one route; one client, of OpenAI's dialect. Exits
with 1 where a byte was said twice, or money was counted that no provider told of (or the other way round).
"""

import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

import anthropic  # noqa: F401 # what the service imports when it lists models, which is not to be measured
import httpx2
import openai  # noqa: F401 # the same

from llm_service.routing.attempts import Attempt
from llm_service.routing.engine import Engine
from tests.llm_service.serving import listening
from tests.simulators.answers import Usage, says
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "resilience.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
TIMERS = {"connect": 1, "headers": 0.5, "first_content": 0.5, "gap": 0.5}
"""Seconds."""
WORDS = "One two three four five six seven eight nine ten eleven twelve."
SPENT = Usage(input=1200, output=345, cached=1000)
MODELS = ("first/gpt-4o", "second/claude-sonnet-4-5")
PRICES = {
    "gpt-4o": {"prices": {"input": 2.5, "output": 10, "cached_input": 1.25}},
    "claude-sonnet-4-5": {"prices": {"input": 3, "output": 15, "cached_input": 0.3}},
}
"""US dollars per million tokens."""
DUE = {"first": Decimal("0.005200"), "second": Decimal("0.006075")}
"""US dollars for SPENT, by hand: 200 tokens read, 1000 of the cache, 345 written."""


@dataclass(frozen=True)
class Scenario:
    """`faults` are the first provider's, one for each request that it gets."""

    name: str
    faults: Sequence[Fault] = ()
    asked: dict[str, Any] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    """Providers at which nobody listens."""
    leaves: bool = False


@dataclass
class Seen:
    """What the client saw. Seconds count from its request."""

    status: int = 0
    provider: str = ""
    text: str = ""
    code: str = ""
    first_word: float | None = None
    ended: float = 0.0


def twice(fault: Fault) -> tuple[Fault, Fault]:
    """Also for the retry, where there is one."""
    return (fault, fault)


SCENARIOS = (
    Scenario("nothing goes wrong"),
    Scenario("nobody listens", gone=("first",)),
    Scenario("reset before a byte", twice(Fault("reset"))),
    Scenario("reset once", (Fault("reset"),)),
    Scenario("silence before the headers", (Fault("stall-headers"),)),
    Scenario("headers, then silence", (Fault("stall", after=0),)),
    Scenario("a web page instead of an answer", (Fault("html"),)),
    Scenario("502 from a proxy", twice(Fault("html", status=502))),
    Scenario("500", twice(Fault("status", status=500))),
    Scenario("503", twice(Fault("status", status=503))),
    Scenario("429 with Retry-After: 30", (Fault("status", status=429, headers={"retry-after": "30"}),)),
    Scenario("401: the key is refused", (Fault("status", status=401),)),
    Scenario("404: no such model", (Fault("status", status=404),)),
    Scenario("the context is too long", (Fault("status", status=400, code="context_length_exceeded"),)),
    Scenario("200, then an error as the first event", twice(Fault("error-first"))),
    Scenario("the first event is no JSON", (Fault("corrupt", after=0),)),
    Scenario("cut before the first word", twice(Fault("cut", after=0))),
    Scenario("a proper end without a word or a terminal event", twice(Fault("cut-clean", after=0))),
    Scenario("cut after 5 words", (Fault("cut", after=5),)),
    Scenario("a proper end after 5 words, no terminal event", (Fault("cut-clean", after=5),)),
    Scenario("silence after 5 words", (Fault("stall", after=5),)),
    Scenario("an error event after 5 words", (Fault("error-later", after=5),)),
    Scenario("cut after 5 words, `assured`", twice(Fault("cut", after=5)), {"routing": {"assured": True}}),
    Scenario("silence after 5 words, `assured`", (Fault("stall", after=5),), {"routing": {"assured": True}}),
    Scenario(
        "an error event after 5 words, `assured`", twice(Fault("error-later", after=5)), {"routing": {"assured": True}}
    ),
    Scenario("slow, but alive: 0.1 s a word", (Fault("drip", interval=0.1),)),
    Scenario("the content policy refuses", (Fault("status", status=400, code="content_policy_violation"),)),
    Scenario("the request is wrong", (Fault("status", status=400),)),
    Scenario("usage is not told", (Fault("no-usage"),)),
    Scenario("nobody listens anywhere", gone=("first", "second")),
    Scenario("the client leaves after 5 words", leaves=True),
)


@asynccontextmanager
async def providers(scenario: Scenario) -> AsyncIterator[tuple[OpenAISimulator, AnthropicSimulator]]:
    async with OpenAISimulator() as first, AnthropicSimulator() as second:
        first.will_fail(*scenario.faults)
        for simulator in (first, second):
            simulator.will_answer(*[says(WORDS, usage=SPENT)] * 3)
        if "first" in scenario.gone:
            await first.refuse()
        if "second" in scenario.gone:
            await second.refuse()
        yield first, second


def rows(first: OpenAISimulator, second: AnthropicSimulator) -> dict[str, Any]:
    return {
        "first": {"type": "openai", "base_url": first.base_url, "api_key": first.api_key, "models": ["gpt-4o"]},
        "second": {
            "type": "anthropic",
            "base_url": second.base_url,
            "api_key": second.api_key,
            "models": ["claude-sonnet-4-5"],
        },
    }


async def listen(llm: httpx2.AsyncClient, scenario: Scenario) -> Seen:
    """Asks once, as a stream."""
    seen, started = Seen(), time.monotonic()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Count."}], "stream": True, **scenario.asked}
    async with llm.stream("POST", "/v1/chat/completions", json=body) as answer:
        seen.status = answer.status_code
        seen.provider = answer.headers.get("x-synapscale-provider", "")
        if answer.status_code != 200:
            seen.code = json.loads(await answer.aread())["error"]["code"]
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            seen.code = chunk.get("error", {}).get("code", seen.code)
            said = "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", ()))
            if said and seen.first_word is None:
                seen.first_word = time.monotonic() - started
            seen.text += said
            if scenario.leaves and len(seen.text.split()) == 5:
                break
    seen.ended = time.monotonic() - started
    return seen


def repeated(text: str) -> int:
    """Bytes after the first that does not go on where the answer should: said twice, or made up."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(text.encode(), WORDS.encode(), strict=False))
    return len(text.encode()) - len(list(alike))


def money(attempts: Sequence[Attempt]) -> tuple[Decimal, Decimal]:
    """What the attempts' usage costs by the service's own reckoning, and DUE for each that came to its end with it."""
    counted = Decimal(0)
    for attempt in attempts:
        prices = attempt.target.facts.prices
        assert prices is not None
        counted += prices.cost(attempt.usage) if attempt.usage is not None else 0
    told = (one for one in attempts if one.result == "completed" and one.usage is not None)
    return counted, sum((DUE[one.target.provider.name] for one in told), Decimal(0))


def outcome(scenario: Scenario, seen: Seen) -> str:
    if scenario.leaves:
        return "left"
    if seen.status != 200:
        return f"{seen.status} `{seen.code}`"
    if seen.code:
        return f"{len(seen.text.split())} words, then `{seen.code}`"
    assert seen.text == WORDS, seen
    return f"the whole answer, from the {seen.provider}"


async def run(scenario: Scenario, kept: Callable[[], list[Attempt]]) -> tuple[str, bool]:
    """A row of the table, and whether all in it is as it should be."""
    async with providers(scenario) as (first, second):
        gate = first.hold(after=5) if scenario.leaves else None
        with tempfile.TemporaryDirectory() as directory:
            async with listening(
                Path(directory), rows(first, second), routes={"auto": [*MODELS]}, models=PRICES, timeouts=TIMERS
            ) as llm:
                await llm.get("/v1/models")  # so that no list is asked for meanwhile
                seen = await listen(llm, scenario)
                left = time.monotonic()
                note = ""
                if gate is not None:
                    asked = next(one for one in first.requests if one.method == "POST")
                    await asyncio.wait_for(asked.disconnected.wait(), 5)
                    assert asked.left_at is not None
                    note = f"; the provider was left {max(0.0, asked.left_at - left) * 1000:.0f} ms later"
    attempts = kept()
    counted, due = money(attempts)
    again = repeated(seen.text)
    when = seen.first_word if seen.first_word is not None else seen.ended
    tried = sum(attempt.result != "skipped" for attempt in attempts)
    mute = any(attempt.first_content_ms is not None and attempt.usage is None for attempt in attempts)
    paid = f"${counted:.6f}" if counted or not mute else "not told"
    row = f"| {scenario.name} | {outcome(scenario, seen)}{note} | {when * 1000:.0f} ms | {tried} | {again} | {paid} |"
    return row, again == 0 and counted == due


async def table() -> tuple[list[str], bool]:
    kept: list[list[Attempt]] = []
    running = Engine.run

    def remembering(self: Engine, ingress: Any, plan: Any, attempts: list[Attempt], **more: Any) -> Any:
        kept.append(attempts)  # the client is told of failed ones only, and of no usage
        return running(self, ingress, plan, attempts, **more)

    Engine.run = remembering  # type: ignore[method-assign] # to look on
    found = ["| fault of the first provider | what the client saw | first word | attempts | bytes repeated | counted |"]
    found.append("|---|---|---|---|---|---|")
    good = True
    for scenario in SCENARIOS:
        row, right = await run(scenario, lambda: kept[-1])
        print(row if right else f"{row}  <- WRONG", flush=True)
        found.append(row)
        good = good and right
    return found, good


def page(found: Sequence[str]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "httpx2", "msgspec"))
    when = f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, load {os.getloadavg()[0]:.0f}"
    where = f"{when}, CPython {platform.python_version()}, {versions}."
    timers = ", ".join(f"{name} {seconds} s" for name, seconds in TIMERS.items())
    return f"{where} Timers: {timers}; the others as shipped.\n\n" + "\n".join(found) + "\n"


def main() -> int:
    found, good = asyncio.run(table())
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + page(found) + END + rest.partition(END)[2])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
