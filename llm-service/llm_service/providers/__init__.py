"""The table of provider types: a new OpenAI-compatible provider is a row of configuration, a new kind is a row here."""

from collections.abc import Callable

from llm_service.config import Config, ConfigError, ProviderConfig
from llm_service.providers.base import Call, ListsModels, Provider
from llm_service.providers.echo import EchoProvider
from llm_service.providers.openai import OpenAIProvider
from llm_service.providers.openai_compatible import OpenAICompatibleProvider

__all__ = ["Call", "ListsModels", "Provider", "build_providers"]


def _required(value: str | None, name: str, key: str) -> str:
    if not value:
        raise ConfigError(f"providers.{name}.{key} is missing")
    return value


TYPES: dict[str, Callable[[str, ProviderConfig], Provider]] = {
    "openai": lambda name, row: OpenAIProvider(
        name,
        base_url=_required(row.base_url, name, "base_url"),
        api_key=_required(row.api_key, name, "api_key"),
        models=row.models,
    ),
    "openai_compatible": lambda name, row: OpenAICompatibleProvider(
        name, base_url=_required(row.base_url, name, "base_url"), api_key=row.api_key, models=row.models
    ),
    "echo": lambda name, row: EchoProvider(name, models=row.models),
}


def build_providers(config: Config, *, development: bool) -> dict[str, Provider]:
    """The providers whose variables are set, by name. With none, development has `echo` for every name in the file."""
    providers = {name: TYPES[row.type](name, row) for name, row in config.active.items()}
    if not providers and development:
        providers["echo"] = EchoProvider("echo", models=config.names)
    return providers
