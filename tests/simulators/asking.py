"""Asking each simulator through its provider's own SDK, whole and streamed, and reading both alike."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from google.genai import Client
from google.genai.types import HttpOptions
from mistralai.client import Mistral
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.openai_asking import sdk_of
from tests.simulators.provider import Provider

JSON = dict[str, Any]
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}}


@dataclass
class Read:
    """What an SDK made of an answer."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    signatures: list[str] = field(default_factory=list)
    calls: list[tuple[str, JSON]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    cited: list[str] = field(default_factory=list)
    finish: str = ""
    usage: tuple[int, int, int] = (0, 0, 0)
    """Input with what was cached, output with what was thought, cached."""


async def openai(sim: OpenAISimulator, said: str, *, stream: bool, **more: Any) -> Read:
    tools = [{"type": "function", "function": {"name": name, "parameters": TOOL}} for name in ("get_weather", "f")]
    asked: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}], "tools": tools, **more}
    async with sdk_of(sim.base_url, sim.api_key) as sdk:
        if stream:
            options = {"stream": True, "stream_options": {"include_usage": True}}
            state: Any = ChatCompletionStreamState()
            async for chunk in await sdk.chat.completions.create(**{**asked, **options}):
                state.handle_chunk(chunk)
            completion: Any = state.current_completion_snapshot
        else:
            completion = await sdk.chat.completions.create(**asked)
    message, usage = completion.choices[0].message, completion.usage
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    return Read(
        text=message.content or "",
        refusal=message.refusal or "",
        calls=calls,
        finish=completion.choices[0].finish_reason,
        usage=(usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens),
    )


async def anthropic(sim: AnthropicSimulator, said: str, *, stream: bool, **more: Any) -> Read:
    tools = [{"name": name, "input_schema": TOOL} for name in ("get_weather", "f")]
    asked: Any = {"model": "claude-sonnet-4-6", "max_tokens": 2000, "tools": tools, **more}
    asked["messages"] = [{"role": "user", "content": said}]
    async with httpx2.AsyncClient(verify=False) as http:
        sdk = AsyncAnthropic(base_url=sim.base_url, api_key=sim.api_key, max_retries=0, http_client=http)
        if stream:
            async with sdk.messages.stream(**asked) as events:
                message: Any = await events.get_final_message()
        else:
            message = await sdk.messages.create(**asked)
    read = Read(finish=message.stop_reason)
    for block in message.content:
        match block.type:
            case "text":
                read.text += block.text
                read.cited += [citation.cited_text for citation in block.citations or ()]
            case "thinking":
                read.thinking += block.thinking
                read.signatures.append(block.signature)
            case "redacted_thinking":
                read.signatures.append(block.data)
            case "tool_use":
                read.calls.append((block.name, block.input))
    usage = message.usage
    cached = usage.cache_read_input_tokens
    read.usage = (usage.input_tokens + usage.cache_creation_input_tokens + cached, usage.output_tokens, cached)
    return read


async def gemini(sim: GeminiSimulator, said: str, *, stream: bool, **more: Any) -> Read:
    declared = [{"name": name, "parameters_json_schema": TOOL} for name in ("get_weather", "f")]
    config: Any = {"tools": [{"function_declarations": declared}], **more}
    asked: Any = {"model": "gemini-2.5-flash", "contents": said, "config": config}
    async with httpx2.AsyncClient(verify=False) as http:
        options = HttpOptions(base_url=sim.base_url, httpx_async_client=http)
        client = Client(api_key=sim.api_key, http_options=options)
        sdk = client.aio
        if stream:
            answers = [one async for one in await sdk.models.generate_content_stream(**asked)]
        else:
            answers = [await sdk.models.generate_content(**asked)]
        client.close()
    read = Read()
    for answer in answers:
        for candidate in answer.candidates or ():
            read.finish = candidate.finish_reason or read.finish
            for part in (candidate.content and candidate.content.parts) or ():
                _read_part(read, part)
            grounding: Any = candidate.grounding_metadata
            read.cited += [one.segment.text for one in grounding.grounding_supports] if grounding else []
    usage: Any = answers[-1].usage_metadata
    output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    read.usage = (usage.prompt_token_count, output, usage.cached_content_token_count or 0)
    return read


def _read_part(read: Read, part: Any) -> None:
    if part.thought_signature:
        read.signatures.append(part.thought_signature.decode())
    if part.function_call:
        read.calls.append((part.function_call.name, part.function_call.args))
    elif part.inline_data:
        read.images.append(part.inline_data.data.decode())
    elif part.thought:
        read.thinking += part.text
    else:
        read.text += part.text or ""


async def mistral(sim: MistralSimulator, said: str, *, stream: bool, **more: Any) -> Read:
    tools = [{"type": "function", "function": {"name": name, "parameters": TOOL}} for name in ("get_weather", "f")]
    asked: Any = {"model": "mistral-large-latest", "messages": [{"role": "user", "content": said}], "tools": tools}
    async with (
        httpx2.AsyncClient(verify=False) as http,
        Mistral(api_key=sim.api_key, server_url=sim.root_url, async_client=http) as sdk,
    ):
        if stream:
            chunks: list[Any] = [chunk.data async for chunk in await sdk.chat.stream_async(**asked, **more)]
            messages = [chunk.choices[0].delta for chunk in chunks]
        else:
            chunks = [await sdk.chat.complete_async(**asked, **more)]
            messages = [chunks[0].choices[0].message]
    usage = chunks[-1].usage
    cached = usage.prompt_tokens_details["cached_tokens"]
    read = Read(finish=chunks[-1].choices[0].finish_reason)
    read.usage = (usage.prompt_tokens, usage.completion_tokens, cached)
    for message in messages:
        content = message.content or []
        for chunk in [content] if isinstance(content, str) else content:
            if isinstance(chunk, str):
                read.text += chunk
            elif chunk.type == "thinking":
                read.thinking += "".join(one.text for one in chunk.thinking)
            elif chunk.type == "text":
                read.text += chunk.text
        for call in message.tool_calls or ():
            read.calls.append((call.function.name, json.loads(call.function.arguments)))
    return read


@dataclass(frozen=True)
class Sdk:
    """A provider's simulator with the SDK that asks it."""

    kind: type[Provider]
    ask: Callable[..., Any]

    def __str__(self) -> str:
        return self.kind.title

    @asynccontextmanager
    async def simulator(self) -> AsyncIterator[Provider]:
        async with self.kind() as sim:
            yield sim


SDKS = (
    Sdk(OpenAISimulator, openai),
    Sdk(AnthropicSimulator, anthropic),
    Sdk(GeminiSimulator, gemini),
    Sdk(MistralSimulator, mistral),
)
