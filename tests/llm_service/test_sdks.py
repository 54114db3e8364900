"""Providers' SDKs, which take up to a second to import."""

import asyncio
import sys

import pytest

PROGRAM = """
import asyncio, sys, threading
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
        await provider.list_models()
    except ProviderError:
        pass

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("file", "provider", "sdk"),
    [
        ("openai", "OpenAIProvider", "openai"),
        ("anthropic", "AnthropicProvider", "anthropic"),
        ("gemini", "GeminiProvider", "google.genai"),
        ("mistral", "MistralProvider", "mistralai.client"),
    ],
)
async def test_an_sdk_is_not_imported_on_the_event_loop(file: str, provider: str, sdk: str) -> None:
    """Who adds a provider to the running file would stop all streams for as long."""
    program = PROGRAM.format(file=file, provider=provider, sdk=sdk)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert told.split() == [b"False"]
