"""Anthropic's Python SDK."""

from typing import Any

from anthropic import Anthropic
from pydantic import BaseModel

from tests.clients.clients import Door, Json

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
LONGEST = 4000


class Report(BaseModel):
    """What a structured answer says."""

    city: str
    degrees: int


def sdk(door: Door, *, retries: int = 0) -> Anthropic:
    """The key goes into `x-api-key`."""
    return Anthropic(base_url=door.url, api_key=door.key, max_retries=retries)


def conversation(said: str) -> Any:
    return {
        "max_tokens": LONGEST,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": said},
        ],
    }


def chat(door: Door, *, model: str, said: str, **more: Any) -> Json:
    with sdk(door) as client:
        return _told(client.messages.create(model=model, **conversation(said), **more))


def stream(door: Door, *, model: str, said: str) -> Json:
    with sdk(door) as client, client.messages.stream(model=model, **conversation(said)) as events:
        return {"pieces": list(events.text_stream), **_told(events.get_final_message())}


def tools(door: Door, *, model: str, said: str, stream: bool, **more: Any) -> Json:
    messages: Any = [{"role": "user", "content": said}]
    asked: Any = {"model": model, "max_tokens": LONGEST, "messages": messages, "tools": [WEATHER], **more}
    with sdk(door) as client:
        message = _message(client, asked, stream=stream)
        called = [block for block in message.content if block.type == "tool_use"]
        messages.append({"role": "assistant", "content": message.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.input['city']}: 21"}
            for block in called
        ]
        messages.append({"role": "user", "content": results})
        answer = _message(client, asked, stream=stream)
    thought = "".join(block.thinking for block in message.content if block.type == "thinking")
    calls = [{"name": block.name, **block.input} for block in called]
    return {"calls": calls, "thought": thought, **_told(answer)}


def thinking(door: Door, **asked: Any) -> Json:
    return tools(door, **asked, thinking={"type": "enabled", "budget_tokens": 1024})


def structured(door: Door, *, model: str, said: str) -> Json:
    messages: Any = [{"role": "user", "content": said}]
    with sdk(door) as client:
        whole = client.messages.parse(model=model, max_tokens=LONGEST, messages=messages, output_format=Report)
    assert whole.parsed_output is not None
    return whole.parsed_output.model_dump()


def seen(door: Door, *, model: str, said: str, image: str) -> Json:
    head, _, encoded = image.partition(";base64,")
    source = {"type": "base64", "media_type": head.removeprefix("data:"), "data": encoded}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": said}]
    messages: Any = [{"role": "user", "content": parts}]
    with sdk(door) as client:
        return _told(client.messages.create(model=model, max_tokens=LONGEST, messages=messages))


def retried(door: Door, *, model: str, said: str) -> Json:
    with sdk(door, retries=1) as client:
        return _told(client.messages.create(model=model, **conversation(said)))


def broken(door: Door, *, model: str, said: str) -> Json:
    with sdk(door) as client, client.messages.stream(model=model, **conversation(said)) as events:
        events.until_done()
    return {}


def abandoned(door: Door, *, model: str, said: str) -> Json:
    with sdk(door) as client, client.messages.stream(model=model, **conversation(said)) as events:
        return {"pieces": [next(iter(events.text_stream))]}


def count(door: Door, *, model: str, said: str) -> Json:
    asked = {name: value for name, value in conversation(said).items() if name != "max_tokens"}
    with sdk(door) as client:
        return {"input_tokens": client.messages.count_tokens(model=model, **asked).input_tokens}


def models(door: Door, *, model: str) -> Json:
    with sdk(door) as client:
        return {"ids": [one.id for one in client.models.list()], "one": client.models.retrieve(model).id}


def _message(client: Anthropic, asked: Any, *, stream: bool) -> Any:
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def _told(message: Any) -> Json:
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "finish": message.stop_reason,
        "input_tokens": message.usage.input_tokens,
        "output_tokens": message.usage.output_tokens,
    }
