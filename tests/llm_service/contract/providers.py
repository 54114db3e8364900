"""The providers that the contract is held against, each a simulator, with what its protocol has no word for."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.llm_service.serving import serving
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.provider import Provider

Json = dict[str, Any]
SIGNED = frozenset({"text", "signature"})


@dataclass(frozen=True)
class Vendor:
    """A provider. What it `cannot` is by the scenario's name, with the field that is refused and the reason."""

    name: str
    simulator: type[Provider]
    type: str
    model: str
    thinker: str
    """The model that is asked where thinking is."""
    version: str = ""
    """What follows the simulator's address in the configuration."""
    tells_thoughts: bool = True
    signs: bool = False
    keeps_foreign_seals: bool = False
    """Whether it is sent the signatures of others that an OpenAI client brings back: between two of one dialect, bytes
    cross as they are, and a router behind it (OpenRouter) may want them."""
    counts: frozenset[str] = frozenset({"cached"})
    """The kinds of tokens that it tells apart."""
    finishes: Mapping[str, str] = field(default_factory=dict)
    """What an answer ended by, in our word, where the simulator's script says that it ended by; an answer that ends by
    what is not here ends by the same."""
    fails: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """The same for ends that are failures: status and code."""
    native_finishes: tuple[str, ...] = ()
    """Ends that only this provider has."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """What it is sent for each kind of tool_choice."""
    cannot: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    errors: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Status and code of faults by name, where they are not those of the table."""

    def __str__(self) -> str:
        return self.name

    def row(self, simulator: Provider) -> Json:
        address = simulator.base_url + self.version
        models = list(dict.fromkeys((self.model, self.thinker)))
        return {"type": self.type, "base_url": address, "api_key": simulator.api_key, "models": models}


def _named(name: str) -> Json:
    return {"type": "function", "function": {"name": name}}


_BROKEN = (502, "provider_error")
_LIMITED = (429, "provider_rate_limited")
_MERE_SERVERS = {"503": _BROKEN, "504": _BROKEN, "529": _BROKEN}
"""Of protocols that have no words for why a server failed."""
_OPENAI: Json = {
    "simulator": OpenAISimulator,
    "model": "gpt-4o",
    "thinker": "gpt-5",
    "tells_thoughts": False,  # its chat API counts thoughts, and shows none
    "counts": frozenset({"cached", "reasoning"}),
    "finishes": {"refusal": "stop"},  # it says so in a field of the message
    "choices": {"auto": "auto", "none": "none", "required": "required", "function": _named("add")},
    "errors": {**_MERE_SERVERS, "error-first": _BROKEN, "error-later": _BROKEN},
}
PROVIDERS = (
    Vendor(name="openai", type="openai", **_OPENAI),
    Vendor(
        name="compatible", type="openai_compatible", **{**_OPENAI, "thinker": "gpt-4.1", "keeps_foreign_seals": True}
    ),
    Vendor(
        name="anthropic",
        type="anthropic",
        simulator=AnthropicSimulator,
        model="claude-sonnet-4-5",
        thinker="claude-haiku-4-5",
        signs=True,
        counts=frozenset({"cached", "written", "reasoning"}),
        finishes={
            "content_filter": "refusal",
            "pause_turn": "pause",
            "model_context_window_exceeded": "length",
            "compaction": "pause",
        },
        native_finishes=("pause_turn", "model_context_window_exceeded"),
        choices={
            "auto": {"type": "auto"},
            "none": {"type": "none"},
            "required": {"type": "any"},
            "function": {"type": "tool", "name": "add"},
        },
        errors={"503": _BROKEN},
    ),
    Vendor(
        name="gemini",
        type="gemini",
        simulator=GeminiSimulator,
        version="/v1beta",
        model="gemini-2.5-flash",
        thinker="gemini-3-flash-preview",
        signs=True,
        counts=frozenset({"cached", "reasoning"}),
        finishes={"refusal": "content_filter", "RECITATION": "content_filter", "OTHER": "stop"},
        fails={
            "MALFORMED_FUNCTION_CALL": (502, "provider_no_answer"),
            "blocked:SAFETY": (400, "content_filter"),
        },
        native_finishes=("RECITATION", "OTHER", "MALFORMED_FUNCTION_CALL", "blocked:SAFETY"),
        choices={
            "auto": {"mode": "AUTO"},
            "none": {"mode": "NONE"},
            "required": {"mode": "ANY"},
            "function": {"mode": "ANY", "allowedFunctionNames": ["add"]},
        },
        errors={"529": _BROKEN, "408": (504, "provider_timeout"), "quota": _LIMITED},  # one status for two reasons
    ),
    Vendor(
        name="mistral",
        type="mistral",
        simulator=MistralSimulator,
        model="mistral-large-latest",
        thinker="magistral-medium-latest",
        finishes={"refusal": "stop", "model_length": "length"},  # a refusal is words like others there
        fails={"content_filter": (502, "provider_error")},  # what its guardrails stop ends in `error`
        native_finishes=("model_length",),
        choices={"auto": "auto", "none": "none", "required": "any", "function": _named("add")},
        errors={**_MERE_SERVERS, "error-first": _BROKEN, "error-later": _BROKEN, "quota": _LIMITED},
    ),
)


class World:
    """All providers, each simulated, behind one service."""

    def __init__(self, llm: httpx2.AsyncClient, simulators: Mapping[str, Provider]) -> None:
        self.llm = llm
        self.simulators = simulators

    def of(self, provider: Vendor) -> Provider:
        return self.simulators[provider.name]

    def sent(self, provider: Vendor) -> list[Json]:
        """The completions that the provider was asked for, oldest first."""
        return [one.body for one in self.of(provider).requests if one.method == "POST"]

    def forget(self) -> None:
        for simulator in self.simulators.values():
            simulator.requests.clear()
            simulator.answers.clear()
            simulator.faults.clear()


@asynccontextmanager
async def world(directory: Path, *only: Vendor, **sections: Any) -> AsyncIterator[World]:
    """Of all providers, or of some; `sections` are those of llm.yaml."""
    async with AsyncExitStack() as running:
        chosen = only or PROVIDERS
        simulators = {one.name: await running.enter_async_context(one.simulator()) for one in chosen}
        rows = {one.name: one.row(simulators[one.name]) for one in chosen}
        llm = await running.enter_async_context(serving(directory, rows, **sections))
        yield World(llm, simulators)


def carries(sent: Any, wanted: Any) -> bool:
    """Whether `wanted` stands anywhere in a request: a text within a text, anything else as a value."""
    if isinstance(wanted, str) and isinstance(sent, str):
        return wanted in sent
    if sent == wanted:
        return True
    inner = sent.values() if isinstance(sent, dict) else sent if isinstance(sent, list) else ()
    return any(carries(one, wanted) for one in inner)
