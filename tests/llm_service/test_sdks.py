"""Providers' SDKs, which take up to a second to import, and up to 50 MB."""

import asyncio
import sys

import pytest

PROGRAM = """
import asyncio, sys, threading
from llm_service.canonical.request import CompletionRequest, Message, Text
from llm_service.errors import ProviderError
from llm_service.providers.{file} import {provider}
from llm_service.providers.keys import ApiKey, Keys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{sdk}":
            print(threading.current_thread() is threading.main_thread())

async def main():
    sys.meta_path.insert(0, Finder())
    provider = {provider}("one", base_url="http://127.0.0.1:9/v1", keys=Keys([ApiKey("one", "sk-one")]), models=())
    try:
        await provider.{call}
    except ProviderError:
        pass

asyncio.run(main())
"""
EMBED = 'embed(["one"], model="m", key=None, dimensions=None, extra={})'
COUNT = 'count_tokens(CompletionRequest(model="m", messages=(Message(role="user", parts=(Text("one"),)),)), key=None)'
SDKS = [
    ("openai", "OpenAIProvider", "openai", EMBED),
    ("anthropic", "AnthropicProvider", "anthropic", COUNT),
    ("gemini", "GeminiProvider", "google.genai", EMBED),
    ("mistral", "MistralProvider", "mistralai.client", EMBED),
]


async def imports_on_main_thread(file: str, provider: str, sdk: str, call: str) -> list[bytes]:
    """Whether it was the main thread, for each import of the SDK that the call made."""
    program = PROGRAM.format(file=file, provider=provider, sdk=sdk, call=call)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return told.split()


@pytest.mark.parametrize(("file", "provider", "sdk", "call"), SDKS)
async def test_an_sdk_is_not_imported_on_the_event_loop(file: str, provider: str, sdk: str, call: str) -> None:
    """Who is the first to count or embed would stop all streams for as long."""
    assert await imports_on_main_thread(file, provider, sdk, call) == [b"False"]


@pytest.mark.parametrize(("file", "provider", "sdk", "call"), SDKS)
async def test_the_list_of_models_that_a_start_asks_for_needs_no_sdk(
    file: str, provider: str, sdk: str, call: str
) -> None:
    assert await imports_on_main_thread(file, provider, sdk, "list_models()") == []
