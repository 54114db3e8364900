"""`config/llm.yaml`, read, checked, and filled in from the environment."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class ConfigError(Exception):
    """The file cannot be used; the message names the file, the key and the mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderConfig(_Strict):
    """One row of `providers`. It is in use only if every variable that it names is set."""

    type: Literal["openai", "openai_compatible", "anthropic", "gemini", "mistral", "echo"]
    base_url: str | None = None
    api_key: str | None = Field(None, repr=False)
    api_keys: tuple[str, ...] = Field((), repr=False)
    """Several, among which requests are spread."""
    models: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*((self.api_key,) if self.api_key else ()), *self.api_keys)


class Timeouts(_Strict):
    """Seconds, for each attempt; `total` also bounds all attempts of a request together."""

    connect: float = Field(5, gt=0)
    headers: float = Field(60, gt=0)
    first_content: float = Field(120, gt=0)
    gap: float = Field(60, gt=0)
    total: float = Field(600, gt=0)


class Config(_Strict):
    """The whole file, with `${NAME}` filled in."""

    providers: dict[str, ProviderConfig]
    routes: dict[str, tuple[str, ...]] = {}
    timeouts: Timeouts = Timeouts()

    inactive: frozenset[str] = Field(frozenset(), exclude=True)
    """Rows of `providers` whose variables are not all set."""

    @property
    def active(self) -> dict[str, ProviderConfig]:
        return {name: row for name, row in self.providers.items() if name not in self.inactive}

    @property
    def names(self) -> tuple[str, ...]:
        """Every model and route that the file mentions, in its order."""
        models = (model for row in self.providers.values() for model in row.models)
        return tuple(dict.fromkeys((*models, *self.routes)))


def load_config(path: Path, *, variables: Mapping[str, str]) -> Config:
    """Raises ConfigError."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("providers"), dict):
        raise ConfigError(f"{path} needs a mapping `providers` at its top")
    inactive = {name for name, row in document["providers"].items() if _missing(row, variables)}
    try:
        return Config.model_validate({**_filled(document, variables), "inactive": inactive})
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{path}: {mistakes}") from None


def _missing(value: Any, variables: Mapping[str, str]) -> bool:
    """Whether `value` names a variable that is not set and has no default."""
    match value:
        case str():
            found = _VARIABLE.finditer(value)
            return any(one["default"] is None and not variables.get(one["name"]) for one in found)
        case dict():
            return any(_missing(inner, variables) for inner in value.values())
        case list():
            return any(_missing(inner, variables) for inner in value)
        case _:
            return False


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda one: variables.get(one["name"]) or one["default"] or "", value)
        case dict():
            return {name: _filled(inner, variables) for name, inner in value.items()}
        case list():
            return [_filled(inner, variables) for inner in value]
        case _:
            return value
