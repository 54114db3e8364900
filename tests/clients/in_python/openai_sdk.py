"""OpenAI's Python SDK."""

import json
from typing import Any

from openai import OpenAI
from pydantic import BaseModel

from tests.clients.clients import Door, Json

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Report(BaseModel):
    """What a structured answer says."""

    city: str
    degrees: int


def sdk(door: Door, *, retries: int = 0) -> OpenAI:
    return OpenAI(base_url=f"{door.url}/v1", api_key=door.key, max_retries=retries)


def conversation(said: str) -> Any:
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": said},
    ]


def chat(door: Door, *, model: str, said: str, **more: Any) -> Json:
    with sdk(door) as client:
        return _told(client.chat.completions.create(model=model, messages=conversation(said), **more))


def stream(door: Door, *, model: str, said: str) -> Json:
    options: Any = {"include_usage": True}
    with (
        sdk(door) as client,
        client.chat.completions.stream(model=model, messages=conversation(said), stream_options=options) as events,
    ):
        pieces = [event.delta for event in events if event.type == "content.delta"]
        return {"pieces": pieces, **_told(events.get_final_completion())}


def tools(door: Door, *, model: str, said: str, stream: bool, **more: Any) -> Json:
    messages: Any = [{"role": "user", "content": said}]
    asked: Any = {"model": model, "messages": messages, "tools": [WEATHER], **more}
    with sdk(door) as client:
        message = _message(client, asked, stream=stream)
        calls = [{"name": c.function.name, **json.loads(c.function.arguments)} for c in message.tool_calls or ()]
        messages.append(message.to_dict())
        for call, told in zip(message.tool_calls or (), calls, strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{told['city']}: 21"})
        answer = _message(client, asked, stream=stream)
    thought = getattr(message, "reasoning_content", None)
    return {"calls": calls, "text": answer.content, "thought": thought, "finish": "stop"}


def thinking(door: Door, **asked: Any) -> Json:
    return tools(door, **asked, reasoning_effort="low")


def structured(door: Door, *, model: str, said: str) -> Json:
    messages: Any = [{"role": "user", "content": said}]
    with sdk(door) as client:
        parsed = client.chat.completions.parse(model=model, messages=messages, response_format=Report)
        with client.chat.completions.stream(model=model, messages=messages, response_format=Report) as events:
            streamed = events.get_final_completion()
    whole = parsed.choices[0].message.parsed
    assert whole is not None
    assert streamed.choices[0].message.parsed == whole
    return whole.model_dump()


def seen(door: Door, *, model: str, said: str, image: str) -> Json:
    parts = [{"type": "text", "text": said}, {"type": "image_url", "image_url": {"url": image}}]
    messages: Any = [{"role": "user", "content": parts}]
    with sdk(door) as client:
        return _told(client.chat.completions.create(model=model, messages=messages))


def retried(door: Door, *, model: str, said: str) -> Json:
    with sdk(door, retries=1) as client:
        return _told(client.chat.completions.create(model=model, messages=conversation(said)))


def broken(door: Door, *, model: str, said: str) -> Json:
    with sdk(door) as client, client.chat.completions.stream(model=model, messages=conversation(said)) as events:
        events.until_done()
    return {}


def abandoned(door: Door, *, model: str, said: str) -> Json:
    with sdk(door) as client:
        chunks = client.chat.completions.create(model=model, messages=conversation(said), stream=True)
        with chunks:
            pieces = [next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content)]
    return {"pieces": [piece.choices[0].delta.content for piece in pieces]}


def embeddings(door: Door, *, model: str, said: list[str]) -> Json:
    with sdk(door) as client:
        answer = client.embeddings.create(model=model, input=said)
    return {"vectors": [one.embedding for one in answer.data], "input_tokens": answer.usage.prompt_tokens}


def models(door: Door, *, model: str) -> Json:
    with sdk(door) as client:
        return {"ids": [one.id for one in client.models.list()], "one": client.models.retrieve(model).id}


def _message(client: OpenAI, asked: Any, *, stream: bool) -> Any:
    if not stream:
        return client.chat.completions.create(**asked).choices[0].message
    with client.chat.completions.stream(**asked) as events:
        return events.get_final_completion().choices[0].message


def _told(completion: Any) -> Json:
    usage = completion.usage
    return {
        "text": completion.choices[0].message.content,
        "finish": completion.choices[0].finish_reason,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
    }
