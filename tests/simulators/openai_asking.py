"""Asking through OpenAI's SDK, in as few words as a test wants to read."""

from collections.abc import AsyncIterator
from typing import Any, cast

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

Message = dict[str, Any]


async def ask(client: AsyncOpenAI, said: str | list[Message], **parameters: Any) -> ChatCompletion:
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
    answer = await client.chat.completions.create(**{"model": "gpt-4o", "messages": messages, **parameters})
    return cast(ChatCompletion, answer)


async def ask_streaming(client: AsyncOpenAI, said: str | list[Message], **parameters: Any) -> list[ChatCompletionChunk]:
    chunks = cast(AsyncIterator[ChatCompletionChunk], await ask(client, said, stream=True, **parameters))
    return [chunk async for chunk in chunks]


async def collected(client: AsyncOpenAI, said: str, **parameters: Any) -> ChatCompletion:
    """The stream as the SDK's own helper puts it together."""
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}], **parameters}
    async with client.chat.completions.stream(**request) as stream:
        return cast(ChatCompletion, await stream.get_final_completion())


def text(completion: ChatCompletion) -> str | None:
    return completion.choices[0].message.content
