"""What it takes to be a provider. Routing, breakers and timers see only this."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from llm_service.canonical.events import Piece
from llm_service.dialects import Dialect
from llm_service.dialects.ingress import Ingress


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt: a client's request, to be put to `model`, as a stream or whole."""

    ingress: Ingress
    model: str
    stream: bool
    connect_timeout: float


class Provider(ABC):
    """A place that answers completions. `models` are those its configuration names."""

    dialect: Dialect | None = None
    """What it speaks, if its bytes can be relayed to a client that speaks the same."""

    def __init__(self, name: str, *, models: tuple[str, ...]) -> None:
        self.name = name
        self.models = models

    @abstractmethod
    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncGenerator[Piece]]:
        """Sends the call; the block is entered when an answer has begun, and leaving it ends the provider's work.

        Raises ProviderError, on entering and while the pieces are read.
        """

    async def close(self) -> None:  # noqa: B027 # most have nothing to give back
        """Gives back connections."""


class ListsModels(ABC):
    """A provider that can say which models it has."""

    @abstractmethod
    async def list_models(self) -> tuple[str, ...]:
        """Asks the provider. Raises ProviderError."""
