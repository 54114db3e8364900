"""What became of a request, attempt by attempt: headers, logs and the ledger all tell of this."""

import time
from typing import Any, Literal

import msgspec

from llm_service.canonical.events import (
    Event,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageCounted,
    bears_content,
)
from llm_service.canonical.tokens import said_tokens, size_of
from llm_service.catalogue.service import Target
from llm_service.dialects import Dialect
from llm_service.errors import ProviderError
from shared.events import Usage

Result = Literal["running", "completed", "failed", "cancelled", "skipped"]
"""`skipped`: the target was not asked, because its circuit is open or its keys rest."""
Purpose = Literal["answer", "summary"]
"""`summary`: it was asked to summarize what the request leaves out."""


class Attempt(msgspec.Struct, kw_only=True, eq=False):
    """One try at one target; milliseconds count from its start. `key` is the provider's key by name."""

    target: Target
    stream: bool
    key: str | None = None
    started_at: float = msgspec.field(default_factory=time.time)
    result: Result = "running"
    error: ProviderError | None = None
    first_content_ms: float | None = None
    total_ms: float | None = None
    usage: Usage | None = None
    begun: bool = False
    """Whether the provider has taken the request."""
    said: int = 0
    """Bytes of the answer's words so far."""
    sent: bool = False
    """Whether the provider has the whole request."""
    dropped: list[str] = msgspec.field(default_factory=list)
    """Fields of the request that it did not carry."""
    context: str | None = None
    """What was left out of the conversation, for the client."""
    output_limit: int | None = None
    """Tokens of a choice that it was asked for at most, by us: there was no room for more."""
    purpose: Purpose = "answer"
    recorded: bool = False
    """Whether its answer is kept for the next to ask the same, if it is complete."""
    age: float | None = None
    """Seconds, of an answer that was kept; nobody was asked for it then."""

    def relays(self, dialect: Dialect, *, stream: bool) -> bool:
        """Whether its bytes are what a client that speaks `dialect` expects."""
        return self.target.provider.dialect is dialect and self.stream == stream

    def observe(self, event: Event, *, ms: float) -> None:
        """What the ledger has to know of an answer, should it break off here; `ms` since the attempt's start."""
        self.begun = True
        match event:
            case TextDelta():  # first, as nearly all are
                self.said += size_of(event.text)
            case UsageCounted():
                self.usage = event.usage
            case RefusalDelta() | ReasoningDelta():
                self.said += size_of(event.text)
            case ToolCallDelta():
                self.said += size_of(event.name) + size_of(event.arguments)
        if self.first_content_ms is None and bears_content(event):
            self.first_content_ms = ms

    def send_completed(self) -> None:
        self.sent = True

    def estimated_usage(self, *, input_tokens: int) -> Usage:
        """What is to be assumed where the provider did not count to the end: clients and the ledger are told the same.

        `input_tokens` count where it told none.
        """
        counted = self.usage or Usage(input_tokens=input_tokens)
        most = max(counted.output_tokens, said_tokens(self.said))
        return msgspec.structs.replace(counted, output_tokens=most, estimated=True)

    def as_json(self) -> dict[str, Any]:
        """For the client of a failure."""
        return {
            "provider": self.target.provider.name,
            "model": self.target.model,
            "error": self.error.kind.value if self.error else None,
            "status": self.error.status if self.error else None,
            "ms": round(self.total_ms or 0),
        }
