"""Names of models, deployments and routes, resolved to the targets that serve them."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import structlog

from llm_service.config import Choice, Config, RouteConfig
from llm_service.errors import ModelNotFound, ProviderError
from llm_service.facts import FREE, UNKNOWN, Facts, facts_of
from llm_service.providers import ListsModels, Provider
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds after which the providers' own lists are asked for again."""
MOST_FOUND = 2000
AUTO = "auto"
"""Any model that can do it, where no route has this name."""


@dataclass(frozen=True)
class Target:
    """A model at a provider."""

    provider: Provider
    model: str
    facts: Facts = field(default=UNKNOWN, compare=False)

    @cached_property
    def name(self) -> str:
        return f"{self.provider.name}/{self.model}"


@dataclass(frozen=True, slots=True)
class Option:
    """A target in a step of a chain, with what the step says of it."""

    target: Target
    choice: Choice


Steps = tuple[tuple[Option, ...], ...]


@dataclass(frozen=True)
class Resolved:
    """What a name stands for: the steps that are tried in order; `route` where the name is one's."""

    steps: Steps
    route: RouteConfig | None = None

    @cached_property
    def only(self) -> Target | None:
        """Where there is nothing to choose."""
        options = [option for step in self.steps for option in step]
        return options[0].target if len(options) == 1 and not options[0].choice.when else None


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A name that a request may carry: a model with those who serve it, or a deployment or route with its chain."""

    id: str
    providers: tuple[str, ...]
    chain: tuple[str, ...] = ()
    facts: Facts = UNKNOWN


class Listings:
    """What the providers say that they have. It outlives reloads for as long as a provider stays."""

    def __init__(self) -> None:
        self.edition = 0
        """Grows when a list changes."""
        self._listed: dict[Provider, tuple[str, ...]] = {}
        self._refreshed_at: dict[Provider, float] = {}
        self._refreshing = asyncio.Lock()

    def of(self, provider: Provider) -> tuple[str, ...]:
        return self._listed.get(provider, ())

    async def refresh(self, providers: Mapping[str, Provider]) -> None:
        """Asks those that were not asked for a while; a silent one keeps its list."""
        async with self._refreshing:
            now = time.monotonic()
            able = [one for one in providers.values() if isinstance(one, ListsModels)]
            stale = [one for one in able if now - self._refreshed_at.get(one, -FRESH_FOR) >= FRESH_FOR]
            for gone in self._listed.keys() - set(providers.values()):
                del self._listed[gone], self._refreshed_at[gone]
                self.edition += 1
            await asyncio.gather(*(self._ask(one) for one in stale))

    async def _ask(self, provider: Provider) -> None:
        assert isinstance(provider, ListsModels)
        self._refreshed_at[provider] = time.monotonic()
        self._listed.setdefault(provider, ())
        try:
            self._listed[provider] = await provider.list_models()
            self.edition += 1
        except ProviderError as error:
            log.warning("provider does not list its models", provider=provider.name, error=error.message)


class Catalogue:
    """One configuration's names. It never changes, but for what providers list by themselves."""

    def __init__(self, config: Config, providers: Mapping[str, Provider], listings: Listings) -> None:
        self.config = config
        self.providers = providers
        self._listings = listings
        self._overrides = {name: model.facts for name, model in config.models.items()}
        self._found: dict[str, Resolved] = {}
        """Names that were asked for, of the listings' edition."""
        self._found_in = listings.edition

    async def resolve(self, name: str) -> Resolved:
        """A route's chain, a deployment, `provider/model`, or all that serve a model.

        Raises ModelNotFound, or Unavailable where no provider is configured at all.
        """
        if (known := self._remembered(name)) is not None:
            return known
        if not self.providers:
            raise Unavailable("No provider is configured: set a provider's key, as config/llm.yaml says.")
        if (found := self._find(name)) is None:
            await self.refresh()
            found = self._find(name)
        if found is None and name == AUTO:
            found = Resolved(tuple(self._step(target) for target in self._configured()))
        if found is None or not found.steps:
            raise self.not_found(name)
        self._found[name] = found
        return found

    def _remembered(self, name: str) -> Resolved | None:
        """Names come from clients: there is no more room for them than MOST_FOUND."""
        if self._found_in != self._listings.edition or len(self._found) > MOST_FOUND:
            self._found_in = self._listings.edition
            self._found.clear()
        return self._found.get(name)

    @cached_property
    def configured(self) -> frozenset[tuple[str, str]]:
        """Provider and model of each target that the file names."""
        named = {(one.name, model) for one in self.providers.values() for model in one.models}
        deployed = {(row.provider, row.model) for row in self.config.deployments.values()}
        found = [found for name in self.config.routes if (found := self._find(name)) is not None]
        chained = {option.target for one in found for step in one.steps for option in step}
        return frozenset(named | deployed | {(target.provider.name, target.model) for target in chained})

    def not_found(self, name: str) -> ModelNotFound:
        return ModelNotFound(name, known=[model.id for model in self._models()])

    async def models(self) -> list[ListedModel]:
        await self.refresh()
        return self._models()

    async def refresh(self) -> None:
        await self._listings.refresh(self.providers)

    def _find(self, name: str) -> Resolved | None:
        if (route := self.config.routes.get(name)) is not None:
            steps = tuple(options for step in route.chain if (options := tuple(self._options(step))))
            if steps:
                return Resolved(steps, route)
        serving = self._serving(name)
        return Resolved(tuple(self._step(target) for target in serving)) if serving else None

    def _options(self, step: tuple[Choice, ...]) -> Iterator[Option]:
        for choice in step:
            for target in self._serving(choice.model):
                yield Option(target, choice)

    def _serving(self, name: str) -> tuple[Target, ...]:
        """A listed name wins over `provider/model`: a model's own name may hold a slash."""
        if (deployment := self.config.deployments.get(name)) is not None:
            provider = self.providers.get(deployment.provider)
            return (self._target(provider, deployment.model, deployed=deployment.facts),) if provider else ()
        if found := tuple(self._target(one, name) for one in self.providers.values() if name in self._models_of(one)):
            return found
        prefix, _, model = name.partition("/")
        if model and (provider := self.providers.get(prefix)):
            return (self._target(provider, model),)
        return ()

    def _target(self, provider: Provider, model: str, *, deployed: Facts | None = None) -> Target:
        overrides = self._overrides if deployed is None else {**self._overrides, model: deployed}
        facts = facts_of(model, section=provider.section, overrides=overrides)
        return Target(provider, model, msgspec.structs.replace(facts, prices=FREE) if provider.free else facts)

    def _step(self, target: Target) -> tuple[Option, ...]:
        return (Option(target, Choice(model=target.model)),)

    def _configured(self) -> Iterator[Target]:
        """The models that the file names, and if it names none, the first that any provider lists."""
        named = [self._target(one, model) for one in self.providers.values() for model in one.models]
        chats = [one for one in named if one.facts.can is None or "embeddings" not in one.facts.can]
        if chats:
            yield from chats
            return
        for provider in self.providers.values():
            for model in self._listings.of(provider)[:1]:
                yield self._target(provider, model)

    def _models_of(self, provider: Provider) -> tuple[str, ...]:
        return (*provider.models, *self._listings.of(provider))

    def _models(self) -> list[ListedModel]:
        served: dict[str, list[Target]] = {}
        for provider in self.providers.values():
            for model in dict.fromkeys(self._models_of(provider)):
                served.setdefault(model, []).append(self._target(provider, model))
        listed = {
            name: ListedModel(name, tuple(one.provider.name for one in targets), facts=targets[0].facts)
            for name, targets in served.items()
        }
        for name in (*self.config.deployments, *self.config.routes):
            if (found := self._find(name)) is not None:
                targets = [option.target for step in found.steps for option in step]
                providers = tuple(dict.fromkeys(one.provider.name for one in targets))
                listed[name] = ListedModel(name, providers, tuple(dict.fromkeys(one.name for one in targets)))
        return list(listed.values())
