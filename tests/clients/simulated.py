"""The four simulators in an event loop of their own, so that tests, and clients that block, may wait for them."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.provider import Provider

Simulators = Mapping[str, Provider]
KINDS: Mapping[str, type[Provider]] = {
    "openai": OpenAISimulator,
    "anthropic": AnthropicSimulator,
    "gemini": GeminiSimulator,
    "mistral": MistralSimulator,
}
PATIENCE = 10.0
"""Seconds."""


class Simulated:
    """`simulators` by the name of their provider; they may be scripted and read from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, simulators: Simulators) -> None:
        self._loop = loop
        self.simulators = simulators

    def wait_until_left(self, provider: str) -> None:
        """Returns when the asker of the last request has closed its connection; raises TimeoutError if it does not."""
        request = self.simulators[provider].requests[-1]
        asyncio.run_coroutine_threadsafe(request.disconnected.wait(), self._loop).result(PATIENCE)

    def forget(self) -> None:
        """What a test asked and scripted is none of the next one's business."""
        for simulator in self.simulators.values():
            simulator.requests.clear()
            simulator.answers.clear()
            simulator.faults.clear()
            simulator.pace = 0.0


@contextmanager
def simulated() -> Iterator[Simulated]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulators")
    thread.start()
    simulators = {name: kind() for name, kind in KINDS.items()}
    try:
        for simulator in simulators.values():
            asyncio.run_coroutine_threadsafe(simulator.listen(), loop).result(PATIENCE)
        yield Simulated(loop, simulators)
    finally:
        for simulator in simulators.values():
            asyncio.run_coroutine_threadsafe(simulator.refuse(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
