"""What is asked for, in each provider's words; what a provider has no word for is refused, or dropped and told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.llm_service.contract.providers import PROVIDERS, Vendor, World, carries
from tests.llm_service.contract.scenarios import ANTHROPIC_TOOLS, ASKED, OPENAI_TOOLS, Json, user
from tests.llm_service.contract.surfaces import ANTHROPIC, NATIVE, NATIVE_MESSAGES, OPENAI, SURFACES, Surface
from tests.simulators.answers import says

IN_OPENAIS: Mapping[str, Json] = {
    "auto": {"tool_choice": "auto"},
    "none": {"tool_choice": "none"},
    "required": {"tool_choice": "required"},
    "function": {"tool_choice": {"type": "function", "function": {"name": "add"}}},
}
IN_ANTHROPICS: Mapping[str, Json] = {
    "auto": {"tool_choice": {"type": "auto"}},
    "none": {"tool_choice": {"type": "none"}},
    "required": {"tool_choice": {"type": "any"}},
    "function": {"tool_choice": {"type": "tool", "name": "add"}},
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("kind", ["auto", "none", "required", "function"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_the_choice_of_tools_is_said_in_the_providers_words(
    all_providers: World, provider: Vendor, surface: Surface, kind: str, stream: bool
) -> None:
    """The simulators do as they are told, so the answer proves that they understood."""
    openai = surface.dialect == "openai"
    tools = {"tools": OPENAI_TOOLS} if openai else {"tools": ANTHROPIC_TOOLS}
    asked = {"messages": [user("Where is it?")], **tools, **(IN_OPENAIS if openai else IN_ANTHROPICS)[kind]}
    model = f"{provider.name}/{provider.model}"
    answer = await all_providers.llm.post(surface.path, json=surface.body(model, asked, stream=stream))
    told = surface.hear(answer, stream=stream)
    (sent,) = all_providers.sent(provider)
    assert carries(sent, provider.choices[kind])
    assert [name for name, _ in told.calls] == (["add"] if kind in ("required", "function") else [])


@dataclass(frozen=True)
class Wish:
    """A field that not every provider has a word for: those that `take` it are sent `value`, others refuse it."""

    field: str
    asked: Json
    surfaces: tuple[Surface, ...]
    take: tuple[str, ...]
    value: Any
    named: str = ""
    """What the refusal and the header call it, where it is not the field itself."""

    def __str__(self) -> str:
        return f"{self.surfaces[0].dialect}-{self.field}"


OF_OPENAI, OF_ANTHROPIC = (OPENAI, NATIVE), (ANTHROPIC, NATIVE_MESSAGES)
WISHES = (
    Wish("seed", {"seed": 4711}, OF_OPENAI, ("openai", "compatible", "gemini", "mistral"), 4711),
    Wish(
        "frequency_penalty", {"frequency_penalty": 0.75}, OF_OPENAI, ("openai", "compatible", "gemini", "mistral"), 0.75
    ),
    Wish(
        "presence_penalty", {"presence_penalty": 0.75}, OF_OPENAI, ("openai", "compatible", "gemini", "mistral"), 0.75
    ),
    Wish("logprobs", {"logprobs": True}, OF_OPENAI, ("openai", "compatible", "gemini", "mistral"), None),
    Wish("logit_bias", {"logit_bias": {"50256": -100}}, OF_OPENAI, ("openai", "compatible"), {"50256": -100}),
    Wish("temperature", {"temperature": 1.25}, OF_OPENAI, ("openai", "compatible", "gemini", "mistral"), 1.25),
    Wish("verbosity", {"verbosity": "low"}, OF_OPENAI, ("openai", "compatible"), "low"),
    Wish(
        "response_format",
        {"response_format": {"type": "json_object"}},
        OF_OPENAI,
        ("openai", "compatible", "gemini", "mistral"),
        None,
    ),
    Wish(
        "parallel_tool_calls",
        {"parallel_tool_calls": False, "tools": OPENAI_TOOLS},
        OF_OPENAI,
        ("openai", "compatible", "anthropic", "gemini", "mistral"),
        None,
    ),
    Wish("top_k", {"top_k": 41}, OF_ANTHROPIC, ("anthropic", "gemini", "mistral"), 41),
    Wish("container", {"container": "c-1"}, OF_ANTHROPIC, ("anthropic",), "c-1"),
    Wish(
        "tools",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        OF_ANTHROPIC,
        ("anthropic",),
        "web_search_20250305",
        named="tools.web_search_20250305",
    ),
)
ASKED_THROUGH = [(wish, surface) for wish in WISHES for surface in wish.surfaces]


@pytest.mark.parametrize(("wish", "surface"), ASKED_THROUGH, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_field_is_asked_or_refused_by_name_or_dropped_and_told(
    all_providers: World, provider: Vendor, surface: Surface, wish: Wish
) -> None:
    name = wish.named or wish.field
    all_providers.of(provider).will_answer(says("Yes."), says("Yes."))

    async def ask(**more: Any) -> Any:
        body = surface.body(f"{provider.name}/{provider.model}", {**ASKED, **wish.asked, **more}, stream=False)
        return await all_providers.llm.post(surface.path, json=body)

    strictly, leniently = await ask(), await ask(drop_params=True)
    if provider.name in wish.take:
        assert strictly.status_code == leniently.status_code == 200, strictly.text
        assert "x-synapscale-dropped" not in leniently.headers
        assert wish.value is None or all(carries(sent, wish.value) for sent in all_providers.sent(provider))
        return
    assert strictly.status_code == 400, strictly.text
    told = surface.mistake(strictly)
    assert told["code"] == "not_expressible"
    assert name in told["message"]
    assert told.get("param") == name
    assert leniently.status_code == 200, leniently.text
    assert leniently.headers["x-synapscale-dropped"] == name
    (sent,) = all_providers.sent(provider)
    assert wish.value is None or not carries(sent, wish.value)
    named = await ask(drop_params=[name])
    assert named.headers["x-synapscale-dropped"] == name
    assert surface.mistake(await ask(drop_params=["something_else"]))["code"] == "not_expressible"


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_stream_refuses_what_cannot_be_said_before_it_begins(
    all_providers: World, provider: Vendor, surface: Surface
) -> None:
    """A stream that has not begun is refused with a status of its own, and tells in its headers what was dropped."""
    field = {"logit_bias": {"1": 1}} if surface.dialect == "openai" else {"container": "c-1"}
    (name,) = field
    taken = provider.name in (("openai", "compatible") if surface.dialect == "openai" else ("anthropic",))
    body = surface.body(f"{provider.name}/{provider.model}", {**ASKED, **field}, stream=True)
    strictly = await all_providers.llm.post(surface.path, json=body)
    leniently = await all_providers.llm.post(surface.path, json={**body, "drop_params": True})
    assert strictly.status_code == (200 if taken else 400)
    assert leniently.status_code == 200
    assert leniently.headers.get("x-synapscale-dropped") == (None if taken else name)
