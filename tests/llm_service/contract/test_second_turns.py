"""What a client brings back: calls with their results, and thoughts with the signatures that they came with."""

import json
from dataclasses import dataclass, replace

import pytest

from tests.llm_service.contract.providers import PROVIDERS, Vendor, World, carries
from tests.llm_service.contract.scenarios import ANTHROPIC_TOOLS, OPENAI_TOOLS, Json, user
from tests.llm_service.contract.surfaces import SURFACES, Heard, Surface
from tests.simulators.answers import Answer, Thought, ToolCall, call, says

SEAL = "EqQBCgIYAhIkNDU2Nzg5"
OTHER_SEAL = "EqQBCgIYAhIkOTg3NjU0"


@dataclass(frozen=True)
class Conversation:
    """A question, what is said to it first, and what the results of its calls are."""

    name: str
    first: Answer
    results: tuple[str, ...] = ()
    thinks: bool = False
    signed: tuple[str, ...] = ()
    """Signatures that must come back to a provider that signs."""
    by: tuple[str, ...] = ()
    """The only providers that say such a thing; where there are none, all do."""

    def __str__(self) -> str:
        return self.name


def sealed(name: str, arguments: str, signature: str) -> ToolCall:
    return replace(call(name, arguments), signature=signature)


CONVERSATIONS = (
    Conversation("one call", says(calls=[("add", {"a": 1, "b": 2})]), ("3",)),
    Conversation("two calls", says("Both.", calls=[("add", {"a": 1, "b": 2}), ("now", {})]), ("3", "noon")),
    Conversation("the same tool twice", says(calls=[("now", {}), ("now", {})]), ("noon", "one")),
    Conversation("a word", says("Brasília.")),
    Conversation("a thought and a word", says("Yes.", thinking="It is.", signature=SEAL), thinks=True, signed=(SEAL,)),
    Conversation(
        "a thought and two calls",
        says(calls=[("add", {"a": 1, "b": 2}), ("now", {})], thinking="Both.", signature=SEAL),
        ("3", "noon"),
        thinks=True,
        signed=(SEAL,),
    ),
    Conversation(
        "a hidden thought and a call",
        says(calls=[("now", {})], thoughts=(Thought(("Hm.",), SEAL), Thought((), OTHER_SEAL, redacted=True))),
        ("noon",),
        thinks=True,
        signed=(SEAL, OTHER_SEAL),
        by=("anthropic",),
    ),
    Conversation(
        "calls that are signed themselves",
        says(calls=[sealed("add", '{"a":1,"b":2}', SEAL), call("now", "{}")]),
        ("3", "noon"),
        thinks=True,
        signed=(SEAL,),
        by=("gemini",),
    ),
)

HELD = [
    (provider, conversation)
    for provider in PROVIDERS
    for conversation in CONVERSATIONS
    if not conversation.by or provider.name in conversation.by
]


def thinking(surface: Surface) -> Json:
    if surface.dialect == "openai":
        return {"reasoning_effort": "medium"}
    return {"thinking": {"type": "enabled", "budget_tokens": 2048}}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize(("provider", "conversation"), HELD, ids=str)
async def test_what_was_said_comes_back_whole(
    all_providers: World, provider: Vendor, surface: Surface, conversation: Conversation, stream: bool
) -> None:
    all_providers.of(provider).will_answer(conversation.first, says("Done."))
    tools = OPENAI_TOOLS if surface.dialect == "openai" else ANTHROPIC_TOOLS
    settings = {"tools": tools, **(thinking(surface) if conversation.thinks else {})}
    model = f"{provider.name}/{provider.thinker if conversation.thinks else provider.model}"
    asked: list[Json] = [user("Add, and tell the time.")]

    first = await _ask(all_providers, surface, model, {"messages": asked, **settings}, stream=stream)
    assert first.calls == tuple((made.name, _read(made)) for made in conversation.first.calls)
    results = surface.results(first, conversation.results) if conversation.results else [user("Thanks.")]
    history = [*asked, first.message, *results]
    second = await _ask(all_providers, surface, model, {"messages": history, **settings}, stream=stream)

    assert second.text == "Done."
    _, sent = all_providers.sent(provider)
    assert carries(sent, "Add, and tell the time.")
    assert not conversation.first.text or carries(sent, conversation.first.text)
    for result in conversation.results:
        assert carries(sent, result)
    if provider.signs and not (surface.native and stream):  # our own stream tells no signatures
        assert [one for one in conversation.signed if not carries(sent, one)] == []
    if not provider.signs:
        assert not carries(sent, SEAL)


@pytest.mark.parametrize("other", PROVIDERS, ids=str)
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_another_provider_takes_the_history_and_gets_no_foreign_signature(
    all_providers: World, provider: Vendor, other: Vendor, surface: Surface
) -> None:
    said = says("Let me see.", calls=[("add", {"a": 1, "b": 2}), ("now", {})], thinking="Both.", signature=SEAL)
    all_providers.of(provider).will_answer(said)
    tools = OPENAI_TOOLS if surface.dialect == "openai" else ANTHROPIC_TOOLS
    settings = {"tools": tools, **thinking(surface)}
    asked: list[Json] = [user("Add, and tell the time.")]
    first = await _ask(
        all_providers, surface, f"{provider.name}/{provider.thinker}", {"messages": asked, **settings}, stream=False
    )
    all_providers.forget()
    all_providers.of(other).will_answer(says("Done."))
    history = [*asked, first.message, *surface.results(first, ("3", "noon"))]
    again = {"messages": history, **settings}
    second = await _ask(all_providers, surface, f"{other.name}/{other.thinker}", again, stream=False)
    assert second.text == "Done."
    (sent,) = all_providers.sent(other)
    assert carries(sent, "Let me see.")
    assert carries(sent, "noon")
    own = provider.signs and other is provider
    assert carries(sent, SEAL) is (
        own or (provider.signs and other.keeps_foreign_seals and surface.dialect == "openai")
    )


async def _ask(world: World, surface: Surface, model: str, asked: Json, *, stream: bool) -> Heard:
    answer = await world.llm.post(surface.path, json=surface.body(model, asked, stream=stream))
    return surface.hear(answer, stream=stream)


def _read(made: ToolCall) -> object:
    return json.loads(made.arguments)
