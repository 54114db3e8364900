"""Asking through OpenAI's SDK, in as few words as a test wants to read."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx2
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

Message = dict[str, Any]


def sdk_of(base_url: str, api_key: str) -> AsyncOpenAI:
    """A client that tries once; loopback needs no certificates, and reading them takes 40 ms."""
    http = httpx2.AsyncClient(verify=False)
    return AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=http)


async def ask(client: AsyncOpenAI, said: str | list[Message], **parameters: Any) -> ChatCompletion:
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
    answer = await client.chat.completions.create(**{"model": "gpt-4o", "messages": messages, **parameters})
    return cast(ChatCompletion, answer)


async def open_stream(
    client: AsyncOpenAI, said: str | list[Message], **parameters: Any
) -> AsyncGenerator[ChatCompletionChunk]:
    return cast(AsyncGenerator[ChatCompletionChunk], await ask(client, said, stream=True, **parameters))


async def ask_streaming(client: AsyncOpenAI, said: str | list[Message], **parameters: Any) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in await open_stream(client, said, **parameters)]


async def collected(client: AsyncOpenAI, said: str, **parameters: Any) -> ChatCompletion:
    """The stream as the SDK's own helper puts it together."""
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}], **parameters}
    async with client.chat.completions.stream(**request) as stream:
        return cast(ChatCompletion, await stream.get_final_completion())


def text(completion: ChatCompletion) -> str | None:
    return completion.choices[0].message.content
