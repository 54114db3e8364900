"""The table of provider types: a new OpenAI-compatible provider is a row of configuration, a new kind is a row here."""

from collections.abc import Callable

from llm_service.config import Config, ConfigError, ProviderConfig
from llm_service.providers.anthropic import AnthropicProvider
from llm_service.providers.base import Call, CountsTokens, Embeddings, Embeds, ListsModels, Provider
from llm_service.providers.echo import EchoProvider
from llm_service.providers.gemini import GeminiProvider
from llm_service.providers.keys import ApiKey, Keys
from llm_service.providers.mistral import MistralProvider
from llm_service.providers.openai import OpenAIProvider
from llm_service.providers.openai_compatible import OpenAICompatibleProvider
from shared.http.calls import HttpTransport

__all__ = [
    "Call",
    "CountsTokens",
    "Embeddings",
    "Embeds",
    "ListsModels",
    "Provider",
    "build_provider",
    "fallback_provider",
]


def _base_url(name: str, row: ProviderConfig) -> str:
    if not row.base_url:
        raise ConfigError(f"providers.{name}.base_url is missing")
    return row.base_url


def _keys(name: str, row: ProviderConfig, *, required: bool = True) -> Keys:
    keys = [
        ApiKey(one.name or f"{name}-{number}", one.key, weight=one.weight)
        for number, one in enumerate(row.keys, start=1)
    ]
    if required and not keys:
        raise ConfigError(f"providers.{name}.api_key is missing")
    return Keys(keys)


TYPES: dict[str, Callable[[str, ProviderConfig, HttpTransport], Provider]] = {
    "openai": lambda name, row, over: OpenAIProvider(
        name, base_url=_base_url(name, row), keys=_keys(name, row), models=row.models, transport=over
    ),
    "openai_compatible": lambda name, row, over: OpenAICompatibleProvider(
        name, base_url=_base_url(name, row), keys=_keys(name, row, required=False), models=row.models, transport=over
    ),
    "mistral": lambda name, row, over: MistralProvider(
        name, base_url=_base_url(name, row), keys=_keys(name, row), models=row.models, transport=over
    ),
    "gemini": lambda name, row, over: GeminiProvider(
        name, base_url=_base_url(name, row), keys=_keys(name, row), models=row.models, transport=over
    ),
    "anthropic": lambda name, row, over: AnthropicProvider(
        name, base_url=_base_url(name, row), keys=_keys(name, row), models=row.models, transport=over
    ),
    "echo": lambda name, row, _: EchoProvider(name, models=row.models),
}


def build_provider(name: str, row: ProviderConfig, *, transport: HttpTransport = "asyncio") -> Provider:
    """Raises ConfigError."""
    return TYPES[row.type](name, row, transport)


def fallback_provider(config: Config) -> Provider:
    """Where no provider is configured, development has `echo` for every name in the file."""
    return EchoProvider("echo", models=config.names)
