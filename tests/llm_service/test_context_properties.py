"""Whatever the conversation, what is left of it is one that every provider takes: read by the simulators, who refuse
calls without results, results without calls, and roles out of turn."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Message
from llm_service.catalogue.service import Target
from llm_service.config import ContextConfig, ProviderConfig
from llm_service.context.fitting import Fitter
from llm_service.context.outline import droppable
from llm_service.dialects import ANTHROPIC, OPENAI, Dialect
from llm_service.dialects.ingress import Ingress, Strategy
from llm_service.errors import ProviderError
from llm_service.facts import Facts
from llm_service.providers import build_provider
from tests.simulators.anthropic_requests import parse_message
from tests.simulators.gemini_models import find_model as gemini_model
from tests.simulators.gemini_requests import parse_content
from tests.simulators.mistral_requests import parse_chat
from tests.simulators.openai_requests import parse_completion

Json = dict[str, Any]
SYSTEM = "Responda em português."
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}}
TEXTS = st.integers(1, 120).map(lambda count: " ".join(["palavra"] * count))


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[str, list[int], str]]:
    """Turns: what the user says, how many calls each round has, and what the assistant says in the end."""
    return draw(st.lists(st.tuples(TEXTS, st.lists(st.integers(1, 3), max_size=4), TEXTS), min_size=1, max_size=8))


def openai_body(turns: list[tuple[str, list[int], str]], *, open_loop: bool) -> Json:
    messages: list[Json] = [{"role": "system", "content": SYSTEM}]
    for number, (asked, rounds, said) in enumerate(turns):
        messages.append({"role": "user", "content": f"{number}: {asked}"})
        for place, count in enumerate(rounds):
            ids = [f"call{number:02}{place}{call:02}"[:9] for call in range(count)]
            function = {"name": "look", "arguments": json.dumps({"city": asked[:20]})}
            calls = [{"id": one, "type": "function", "function": function} for one in ids]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": one, "content": said} for one in ids]
        if number < len(turns) - 1:
            messages.append({"role": "assistant", "content": said})
    if not open_loop:
        messages += [{"role": "assistant", "content": "Olá."}, {"role": "user", "content": "E agora?"}]
    tools = [{"type": "function", "function": {"name": "look", "parameters": TOOL}}]
    return {"model": "m", "messages": messages, "tools": tools, "max_completion_tokens": 50, "future_field": None}


def anthropic_body(turns: list[tuple[str, list[int], str]], *, open_loop: bool) -> Json:
    messages: list[Json] = []
    for one in openai_body(turns, open_loop=open_loop)["messages"][1:]:
        match one:
            case {"role": "tool"}:
                block = {"type": "tool_result", "tool_use_id": one["tool_call_id"], "content": one["content"]}
                if messages[-1]["role"] == "user":
                    messages[-1]["content"].append(block)
                else:
                    messages.append({"role": "user", "content": [block]})
            case {"tool_calls": calls}:
                used = [{"type": "tool_use", "id": c["id"], "name": "look", "input": {"city": "x"}} for c in calls]
                messages.append({"role": "assistant", "content": used})
            case {"role": "user", "content": text} if messages and messages[-1]["role"] == "user":
                messages[-1]["content"].append({"type": "text", "text": text})
            case {"role": role, "content": text}:
                messages.append({"role": role, "content": [{"type": "text", "text": text}]})
    tools = [{"name": "look", "input_schema": TOOL}]
    return {"model": "m", "max_tokens": 50, "system": SYSTEM, "messages": messages, "tools": tools}


CLIENTS = {"openai": (OPENAI, openai_body), "anthropic": (ANTHROPIC, anthropic_body)}
CUTTING: tuple[Strategy, ...] = ("truncate_oldest", "truncate_middle", "summarize")
MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "mistral": "mistral-large-latest",
}


def target_of(provider: str, *, window: int) -> Target:
    row = ProviderConfig.model_validate({"type": provider, "base_url": "http://x", "api_key": "k"})
    return Target(build_provider(provider, row), MODELS[provider], Facts(context_window=window))


def accepted(target: Target, ingress: Ingress) -> None:
    """Raises what the provider would say against it."""
    dialect = target.provider.dialect
    assert dialect is not None
    asked = ingress.body_for(dialect, model=target.model, stream=False, losses=Losses(allowed=True))
    body = msgspec.json.decode(msgspec.json.encode(asked))  # as it would arrive
    match target.provider.name:
        case "openai":
            parse_completion({k: v for k, v in body.items() if k != "future_field"}, faults=frozenset())
        case "anthropic":
            parse_message(body)
        case "gemini":
            model = gemini_model(target.model, faults=frozenset())
            assert model is not None
            parse_content(body, model, None)
        case _:
            parse_chat(body)


def answers(message: Json) -> bool:
    content = message["content"]
    return isinstance(content, list) and any(block["type"] == "tool_result" for block in content)


def said_by(message: Json) -> str:
    return json.dumps(message["content"], ensure_ascii=False)


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_what_is_left_fits_is_legal_and_keeps_instructions_and_the_last_question(
    client: str, provider: str, data: st.DataObject
) -> None:
    dialect, made = CLIENTS[client]
    turns, open_loop = data.draw(conversations()), data.draw(st.booleans())
    strategy = data.draw(st.sampled_from(CUTTING))
    window = data.draw(st.integers(300, 3000))
    target = target_of(provider, window=window)
    whole = Ingress(json.dumps(made(turns, open_loop=open_loop)).encode(), dialect=dialect)
    accepted(target, whole)
    verbose = data.draw(st.integers(0, 400))

    async def summary(messages: Sequence[Message], most_tokens: int) -> str | None:  # a model may not heed it
        return "dito " * verbose if verbose > 5 else None

    fitter = Fitter(whole, ContextConfig(strategy=strategy), summary)
    try:
        fitted = (await fitter.fitted(target)).ingress
    except ProviderError:
        least = [message for unit in droppable(whole, strategy) for message in unit]
        rest = whole.tokens - sum(line.tokens for line in least)
        assert rest > window * 0.7 / (target.provider.dialect or OPENAI).token_ratio - 700
        return
    accepted(target, fitted)
    assert fitted.tokens_for(target.provider.dialect) <= window * 0.85
    messages, before = fitted.body["messages"], whole.body["messages"]
    assert fitted.canonical.messages[0].text == SYSTEM
    assert messages[-1] == before[-1]
    assert [one for one in before if one["role"] == "user" and not answers(one)][-1] in messages
    own = [message for message in messages if "messages are left out here" not in said_by(message)]
    rest = iter(before)
    assert all(any(message == one for one in rest) for message in own)  # in their order, nothing changed
    assert {name: v for name, v in fitted.body.items() if name != "messages"} == {
        name: v for name, v in whole.body.items() if name != "messages"
    }


@pytest.mark.parametrize(("client", "dialect"), [(name, one[0]) for name, one in CLIENTS.items()])
@given(turns=conversations(), open_loop=st.booleans())
def test_a_clients_messages_are_canonical_messages_one_for_one(
    client: str, dialect: Dialect, turns: list[tuple[str, list[int], str]], open_loop: bool
) -> None:
    ingress = Ingress(json.dumps(CLIENTS[client][1](turns, open_loop=open_loop)).encode(), dialect=dialect)
    outside = [m for m in ingress.canonical.messages if m.role == "system"] if "system" in ingress.body else []
    assert len(ingress.canonical.messages) == len(ingress.body["messages"]) + len(outside)
