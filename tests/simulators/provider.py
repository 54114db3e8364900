"""What every simulated provider does with a request: check the key, route it, answer, or refuse in its own words.

    async with AnthropicSimulator() as sim:                       # or OpenAI, Gemini, Mistral
        client = AsyncAnthropic(base_url=sim.base_url, api_key=sim.api_key)
        sim.will_answer("Hello.", says("", calls=[("get_time", {"zone": "UTC"})], thinking="Hm.", signature="c2ln"))
        sim.will_fail("429-retry-after", Fault("cut", after=3))   # names are in faults.NAMED; one request each
        ...                                                       # not scripted: an echo, see answers.answer
        gate = sim.hold(after=2)                                  # two pieces, then silence until gate.release()
        request = await sim.wait_for_request()                    # its headers, its body, when the client left
        await request.disconnected.wait()
        await sim.refuse()                                        # nobody listens, until `await sim.listen()`

A model named `fault-<name>` fails by itself, one named `…-slow` is slow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.simulators.answers import Answer, under
from tests.simulators.connection import RecordedRequest
from tests.simulators.faults import NAMED, Fault
from tests.simulators.http import Simulator
from tests.simulators.replies import Document, Event, Reply

FAULTS = frozenset(NAMED)


class Refusal(ABC, Exception):
    """An error that a provider answers with."""

    @abstractmethod
    def document(self, headers: Mapping[str, str]) -> Document:
        """On the wire; `headers` are those of every answer."""


class Provider(Simulator):
    """A provider of models."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.signatures: set[str] | None = set()
        """Of thoughts that it has sent, the only ones that it takes back; None takes any."""

    def sign(self, signatures: Iterable[str | None]) -> None:
        """Remembers what it sends."""
        if self.signatures is not None:
            self.signatures |= {signature for signature in signatures if signature}

    @abstractmethod
    def headers_of(self, request: RecordedRequest) -> dict[str, str]:
        """Of every answer, refusals included."""

    @abstractmethod
    def authenticate(self, request: RecordedRequest) -> None:
        """Raises the refusal of a request that has not the key."""

    @abstractmethod
    def route(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        """The answer; raises the refusal of a request that is wrong."""

    @abstractmethod
    def unprovoked(self, status: int, code: str | None = None) -> Refusal:
        """What the provider may answer out of the blue; `code` is what OpenAI calls a kind that it has too."""

    def reply(self, request: RecordedRequest, fault: Fault | None) -> Reply:
        headers = self.headers_of(request)
        try:
            if fault and fault.name == "status":
                return self.unprovoked(fault.status or 500, fault.code).document({**headers, **fault.headers})
            self.authenticate(request)
            return self.route(request, fault, headers)
        except Refusal as refusal:
            return refusal.document(headers)

    def said(self, otherwise: Callable[[], Answer], fault: Fault | None) -> Answer:
        """The next scripted answer, or what the model says of itself; spoiled where that is a matter of words."""
        return under(self.answers.popleft() if self.answers else otherwise(), fault)


def fails(fault: Fault | None) -> bool:
    """Whether an error takes the place of the answer or of its rest."""
    return fault is not None and fault.name in ("error-first", "error-later")


def before(events: Iterable[Event], fault: Fault) -> Iterator[Event]:
    """The events that an error event follows."""
    if fault.name == "error-first":
        return
    sent = 0
    for event in events:
        if event.content and sent == fault.after:
            return
        yield event
        sent += event.content


def tells_usage(fault: Fault | None) -> bool:
    return fault is None or fault.name != "no-usage"
