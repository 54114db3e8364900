"""Names of models and routes, resolved to the providers that serve them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from llm_service.dialects.ingress import DEFAULT_MODEL
from llm_service.errors import ModelNotFound, ProviderError
from llm_service.providers import ListsModels, Provider
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds after which the providers' own lists are asked for again."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider.name}/{self.model}"


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A name that a request may carry: a model with those who serve it, or a route with its chain."""

    id: str
    providers: tuple[str, ...]
    chain: tuple[str, ...] = ()


class Catalogue:
    """Configured models, and those that the providers list by themselves."""

    def __init__(self, providers: Mapping[str, Provider], routes: Mapping[str, tuple[str, ...]]) -> None:
        self._providers = providers
        self._routes = routes
        self._listed: dict[str, tuple[str, ...]] = {}
        self._refreshed_at = -FRESH_FOR
        self._refreshing = asyncio.Lock()

    async def resolve(self, name: str) -> tuple[Target, ...]:
        """Who answers to `name`, in order: a route's chain, `provider/model`, or all that serve a model.

        Raises ModelNotFound, or Unavailable where no provider is configured at all.
        """
        if not self._providers:
            raise Unavailable("No provider is configured: set a provider's key, as config/llm.yaml says.")
        if not (targets := self._find(name)):
            await self.refresh()
            targets = self._find(name) or (self._any_model() if name == DEFAULT_MODEL else ())
        if not targets:
            raise self.not_found(name)
        return targets

    def not_found(self, name: str) -> ModelNotFound:
        return ModelNotFound(name, known=[model.id for model in self._models()])

    async def models(self) -> list[ListedModel]:
        await self.refresh()
        return self._models()

    async def refresh(self) -> None:
        """Asks every provider for its models, unless that was done a short while ago; a silent one keeps its list."""
        async with self._refreshing:
            if time.monotonic() - self._refreshed_at < FRESH_FOR:
                return
            able = [provider for provider in self._providers.values() if isinstance(provider, ListsModels)]
            await asyncio.gather(*(self._refresh_one(provider) for provider in able))
            self._refreshed_at = time.monotonic()

    async def _refresh_one(self, provider: ListsModels) -> None:
        assert isinstance(provider, Provider)
        try:
            self._listed[provider.name] = await provider.list_models()
        except ProviderError as error:
            log.warning("provider does not list its models", provider=provider.name, error=error.message)

    def _find(self, name: str) -> tuple[Target, ...]:
        if chain := self._routes.get(name):
            found = tuple(target for entry in chain for target in self._find_model(entry))
            if found:
                return found
        return self._find_model(name)

    def _find_model(self, name: str) -> tuple[Target, ...]:
        """A listed name wins over `provider/model`: a model's own name may hold a slash."""
        if serving := tuple(Target(one, name) for one in self._providers.values() if name in self._models_of(one)):
            return serving
        prefix, _, model = name.partition("/")
        if model and (provider := self._providers.get(prefix)):
            return (Target(provider, model),)
        return ()

    def _any_model(self) -> tuple[Target, ...]:
        """The first model of the first provider that has one."""
        listed = (Target(one, model) for one in self._providers.values() for model in self._models_of(one))
        first = next(listed, None)
        return (first,) if first else ()

    def _models_of(self, provider: Provider) -> tuple[str, ...]:
        return (*provider.models, *self._listed.get(provider.name, ()))

    def _models(self) -> list[ListedModel]:
        served: dict[str, list[str]] = {}
        for provider in self._providers.values():
            for model in dict.fromkeys(self._models_of(provider)):
                served.setdefault(model, []).append(provider.name)
        routes = {
            name: ListedModel(name, tuple({t.provider.name: None for t in targets}), tuple(t.name for t in targets))
            for name in self._routes
            if (targets := self._find(name))
        }
        models = {name: ListedModel(name, tuple(providers)) for name, providers in served.items()}
        return list({**models, **routes}.values())
