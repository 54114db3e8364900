"""What `config/llm.yaml` may say. How it is read, with its lines and variables, stands in `config_file.py`."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from llm_service.dialects.ingress import LONGEST_TTL, Need, Strategy
from llm_service.facts import Ability, Facts, Modality

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Mode: TypeAlias = Literal["ordered", "cheapest", "fastest"]
Money: TypeAlias = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Tokens: TypeAlias = Annotated[int, Field(gt=0)]


class ConfigError(Exception):
    """The file cannot be used; the message names the file, the line, the key and the mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyConfig(_Strict):
    """One of several keys of a provider. `weight` is its share of the requests."""

    key: Annotated[str, Field(min_length=1, repr=False)]
    name: str | None = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1


def _as_key(value: Any) -> Any:
    return {"key": value} if isinstance(value, str) else value


class ProviderConfig(_Strict):
    """One row of `providers`. It is in use only if every variable that it names is set."""

    type: Literal["openai", "openai_compatible", "anthropic", "gemini", "mistral", "echo"]
    base_url: str | None = None
    api_key: str | None = Field(None, repr=False)
    api_keys: tuple[Annotated[KeyConfig, BeforeValidator(_as_key)], ...] = ()
    models: tuple[Name, ...] = ()

    @property
    def keys(self) -> tuple[KeyConfig, ...]:
        return (*((KeyConfig(key=self.api_key),) if self.api_key else ()), *self.api_keys)


class LongPricesConfig(_Strict):
    """Prices of the whole request where its input has more than `above` tokens."""

    above: Tokens
    input: Money
    output: Money | None = None
    cached_input: Money | None = None
    cache_write: Money | None = None
    cache_write_1h: Money | None = None


class PricesConfig(_Strict):
    """US dollars per million tokens."""

    input: Money
    output: Money = Decimal(0)
    cached_input: Money | None = None
    cache_write: Money | None = None
    cache_write_1h: Money | None = None
    input_audio: Money | None = None
    output_audio: Money | None = None
    batch_input: Money | None = None
    batch_output: Money | None = None
    long: LongPricesConfig | None = None


class ModelConfig(_Strict):
    """What is known of a model, where it differs from the shipped list or is not in it."""

    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input: frozenset[Modality] | None = None
    can: frozenset[Ability] | None = None
    prices: PricesConfig | None = None
    deprecated: date | None = None

    @property
    def facts(self) -> Facts:
        return msgspec.convert(self.model_dump(exclude_none=True), Facts)


class DeploymentConfig(ModelConfig):
    """A model at a provider, under a name of its own."""

    provider: Name
    model: Name

    @property
    def facts(self) -> Facts:
        return msgspec.convert(self.model_dump(exclude_none=True, exclude={"provider", "model"}), Facts)


class Choice(_Strict):
    """One name in a chain. It is passed over for requests that lack one of `when`."""

    model: Name
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    when: frozenset[Need] = frozenset()


def _as_choice(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


def _as_step(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Step: TypeAlias = Annotated[
    tuple[Annotated[Choice, BeforeValidator(_as_choice)], ...], BeforeValidator(_as_step), Field(min_length=1)
]
"""One place in a chain: a name, or several among which requests are spread by weight."""


class ContextConfig(_Strict):
    """What is done with a request that is larger than a model's context window, or than `max_input_tokens`.

    `summary_model` is who summarizes what is left out; None is the model that is asked anyway.
    """

    strategy: Strategy = "error"
    max_input_tokens: Tokens | None = None
    summary_model: Name | None = None


class CacheConfig(_Strict):
    """That an answer may be one that was given to the same request, up to `ttl` seconds ago."""

    ttl: Annotated[int, Field(ge=1, le=LONGEST_TTL)]


class RouteConfig(_Strict):
    """A name for a chain of models. None leaves it to `defaults`."""

    chain: Annotated[tuple[Step, ...], Field(min_length=1)]
    mode: Mode | None = None
    reroute_refused: bool = False
    """Whether what one provider's content policy refuses may be asked of the next."""
    context: ContextConfig | None = None
    cache: CacheConfig | None = None


def _as_route(value: Any) -> Any:
    return {"chain": value} if isinstance(value, list) else value


class Timeouts(_Strict):
    """Seconds: six for each attempt, and `deadline` for all attempts of a request together.

    `whole` is for an answer that comes in one piece, while other targets wait: before it is complete nothing of it is
    heard, so that silence is all there is to go by. The last target has what is left of the deadline.
    """

    connect: float = Field(5, gt=0)
    headers: float = Field(60, gt=0)
    first_content: float = Field(120, gt=0)
    gap: float = Field(60, gt=0)
    whole: float = Field(180, gt=0)
    total: float = Field(600, gt=0)
    deadline: float = Field(900, gt=0)


class Defaults(_Strict):
    """What holds where neither the request nor its route says otherwise."""

    mode: Mode = "ordered"
    context: ContextConfig | None = None
    """None leaves it to the provider, who alone knows exactly how large a request is."""
    cache: CacheConfig | None = None


class Config(_Strict):
    """The whole file, with `${NAME}` filled in."""

    providers: dict[Name, ProviderConfig]
    models: dict[Name, ModelConfig] = {}
    deployments: dict[Name, DeploymentConfig] = {}
    routes: dict[Name, Annotated[RouteConfig, BeforeValidator(_as_route)]] = {}
    defaults: Defaults = Defaults()
    timeouts: Timeouts = Timeouts()

    inactive: frozenset[str] = Field(frozenset(), exclude=True)
    """Rows of `providers` whose variables are not all set."""

    @property
    def active(self) -> dict[str, ProviderConfig]:
        return {name: row for name, row in self.providers.items() if name not in self.inactive}

    @property
    def names(self) -> tuple[str, ...]:
        """Every model, deployment and route that the file mentions, in its order."""
        models = (model for row in self.providers.values() for model in row.models)
        return tuple(dict.fromkeys((*models, *self.deployments, *self.routes)))
