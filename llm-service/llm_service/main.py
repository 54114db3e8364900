"""llm-service: one interface to every provider."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

import llm_service.catalogue.routes as catalogue_routes
import llm_service.completions.routes as completion_routes
from llm_service.catalogue.service import Catalogue
from llm_service.completions.service import Completions
from llm_service.config import load_config
from llm_service.providers import build_providers
from llm_service.routing.engine import Engine
from llm_service.settings import Settings, environment
from shared.clients.auth import identity
from shared.service import create_service


def create_app(settings: Settings, *, variables: Mapping[str, str] | None = None) -> FastAPI:
    """`variables` are what `${NAME}` in the configuration stands for; the process's environment if not given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        config = load_config(settings.llm_config, variables=environment() if variables is None else variables)
        providers = build_providers(config, development=settings.env == "development")
        async with AsyncExitStack() as closing:
            upstreams = await closing.enter_async_context(app.state.upstreams.running("auth"))
            known = await closing.enter_async_context(identity(upstreams["auth"], settings=settings, service="llm"))
            for provider in providers.values():
                closing.push_async_callback(provider.close)
            catalogue = Catalogue(providers, config.routes)
            listing = asyncio.create_task(catalogue.refresh())  # so that the first to ask need not wait
            closing.callback(listing.cancel)
            yield {
                "verifier": known.verifier,
                "revocations": known.revocations,
                "catalogue": catalogue,
                "completions": Completions(catalogue, Engine(config.timeouts)),
            }

    return create_service(
        "llm-service",
        summary="One interface to every provider",
        settings=settings,
        lifespan=lifespan,
        routers=[
            catalogue_routes.router,
            catalogue_routes.openai_router,
            completion_routes.router,
            completion_routes.openai_router,
        ],
    )


def __getattr__(name: str) -> FastAPI:
    """`uvicorn llm_service.main:app` builds the app from the environment; importing this module does not."""
    if name == "app":
        return create_app(Settings())
    raise AttributeError(name)
