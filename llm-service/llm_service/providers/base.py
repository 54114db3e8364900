"""What it takes to be a provider. Routing, breakers and timers see only this."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from llm_service.canonical.events import Piece
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects import Dialect
from llm_service.dialects.ingress import Ingress
from llm_service.providers.keys import ApiKey, Keys
from shared.events import Usage


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: a client's request, to be put to `model`, as a stream or whole. `connect_timeout` in seconds."""

    ingress: Ingress
    model: str
    stream: bool
    connect_timeout: float
    key: ApiKey | None = None
    max_output_tokens: int | None = None
    """What the model can say at most, where that is known: for protocols in which a request has to name a limit."""
    losses: Losses = msgspec.field(default_factory=Losses)
    on_sent: Callable[[], None] = lambda: None
    """To be called when the provider has the whole request: from then on it may charge for it."""


class Incoming(ABC):
    """A provider's answer that has begun."""

    @abstractmethod
    async def next(self) -> Piece | None:
        """What comes next; None where nothing will. Raises ProviderError."""

    async def close(self) -> None:  # noqa: B027 # some hold nothing
        """Ends the provider's work, if it goes on."""


class Provider(ABC):
    """A place that answers completions. `models` are those its configuration names."""

    dialect: Dialect | None = None
    """What it speaks, if its bytes can be relayed to a client that speaks the same."""
    free: ClassVar[bool] = False
    """Whether it costs nothing, whatever the model."""

    @property
    def section(self) -> str:
        """Under which name the shipped list of models has this provider's."""
        return self.name

    def __init__(self, name: str, *, models: tuple[str, ...], keys: Keys | None = None) -> None:
        self.name = name
        self.models = models
        self.keys = keys or Keys()

    @abstractmethod
    async def open(self, call: Call) -> Incoming:
        """Sends the call, and returns when an answer has begun; cancelled before, it ends the provider's work itself.

        Raises ProviderError.
        """

    async def close(self) -> None:  # noqa: B027 # most have nothing to give back
        """Gives back connections."""


class ListsModels(ABC):
    """A provider that can say which models it has."""

    @abstractmethod
    async def list_models(self) -> tuple[str, ...]:
        """Asks the provider. Raises ProviderError."""


class CountsTokens(ABC):
    """A provider that can count a request's tokens before it is sent."""

    @abstractmethod
    async def count_tokens(self, request: CompletionRequest, *, key: ApiKey | None) -> int:
        """Input tokens of `request`, for its model. Raises ProviderError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """A vector of floats for each input, in their order."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage


class Embeds(ABC):
    """A provider that turns texts into vectors."""

    @abstractmethod
    async def embed(
        self,
        inputs: Sequence[str] | Sequence[Sequence[int]],
        *,
        model: str,
        key: ApiKey | None,
        dimensions: int | None,
        extra: dict[str, Any],
    ) -> Embeddings:
        """`inputs` are texts, or lists of token ids where the provider takes them. Raises ProviderError."""
