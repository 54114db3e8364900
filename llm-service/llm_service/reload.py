"""The configuration in force: read again when the file changes, put in place at once, without dropping a request."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from llm_service.catalogue.service import Catalogue, Listings
from llm_service.config import Config, ConfigError, ProviderConfig
from llm_service.config_file import load_config
from llm_service.providers import Provider, build_provider, fallback_provider
from shared.http.calls import HttpTransport

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the file: editors, config maps and bind mounts all replace it in ways of their own."""


@dataclass(slots=True)
class _Owned:
    """A provider with the row that made it and the catalogues that still use it."""

    provider: Provider
    row: ProviderConfig | None
    users: int = 0


@dataclass(slots=True)
class _Edition:
    """A catalogue and the requests that run with it."""

    catalogue: Catalogue
    owned: dict[str, _Owned]
    requests: int = 0
    replaced: bool = field(default=False)


class _Use:
    """A request's hold on one edition."""

    __slots__ = ("_edition", "_let_go")

    def __init__(self, edition: _Edition, let_go: Callable[[_Edition], None]) -> None:
        self._edition = edition
        self._let_go = let_go

    def __enter__(self) -> Catalogue:
        self._edition.requests += 1
        return self._edition.catalogue

    def __exit__(self, *_: object) -> None:
        self._edition.requests -= 1
        if self._edition.replaced:
            self._let_go(self._edition)


class LiveCatalogue:
    """`use` gives a request one edition for all its life; a replaced one is closed when its last request has ended."""

    def __init__(
        self, path: Path, *, variables: Mapping[str, str], development: bool, transport: HttpTransport = "asyncio"
    ) -> None:
        """Raises ConfigError: a service does not start with a file that it cannot use."""
        self._path = path
        self._variables = variables
        self._development = development
        self._transport: HttpTransport = transport
        self._listings = Listings()
        self._mark = _mark(path)
        self._closing: set[asyncio.Task[None]] = set()
        self.problem: str | None = None
        """Why the file, as it is now, is not in force."""
        self._edition = self._edition_of(load_config(path, variables=variables), before={})

    @property
    def current(self) -> Catalogue:
        return self._edition.catalogue

    def use(self) -> "_Use":
        return _Use(self._edition, self._let_go)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Watches the file, and lists models so that the first to ask need not wait."""
        watching = asyncio.create_task(self._watch())
        listing = asyncio.create_task(self.current.refresh())
        try:
            yield
        finally:
            for task in (watching, listing):
                task.cancel()
            await asyncio.gather(watching, listing, *self._closing, return_exceptions=True)
            for owned in self._edition.owned.values():
                await owned.provider.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if (mark := _mark(self._path)) != self._mark:
                self._mark = mark
                self.reload()

    def reload(self) -> None:
        """Puts the file as it is now in force. A bad one changes nothing but `problem`."""
        try:
            config = load_config(self._path, variables=self._variables)
            edition = self._edition_of(config, before=self._edition.owned)
        except ConfigError as error:
            self.problem = f"the configuration is not in force: {error}"
            log.error("configuration refused", error=str(error))
            return
        old, self._edition, self.problem = self._edition, edition, None
        old.replaced = True
        self._let_go(old)
        log.info("configuration reloaded", providers=list(edition.owned))

    def _edition_of(self, config: Config, *, before: Mapping[str, _Owned]) -> _Edition:
        """Providers whose rows are as before stay, with their connections and what is known of their keys."""
        owned = {}
        for name, row in config.active.items():
            known = before.get(name)
            if known is None or known.row != row:
                known = _Owned(build_provider(name, row, transport=self._transport), row)
            owned[name] = known
        if not owned and self._development:
            echo = fallback_provider(config)
            owned[echo.name] = _Owned(echo, None)
        for one in owned.values():
            one.users += 1
        providers = {name: one.provider for name, one in owned.items()}
        return _Edition(Catalogue(config, providers, self._listings), owned)

    def _let_go(self, edition: _Edition) -> None:
        if not edition.replaced or edition.requests:
            return
        edition.replaced = False  # once
        for owned in edition.owned.values():
            owned.users -= 1
            if owned.users == 0:
                task = asyncio.create_task(owned.provider.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
