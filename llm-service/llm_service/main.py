"""llm-service: one interface to every provider."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

import llm_service.catalogue.routes as catalogue_routes
import llm_service.completions.routes as completion_routes
import llm_service.counting.routes as counting_routes
import llm_service.embeddings.routes as embedding_routes
import llm_service.routing.routes as routing_routes
from llm_service.completions.service import Completions
from llm_service.counting.service import TokenCounts
from llm_service.embeddings.service import EmbeddingService
from llm_service.reload import LiveCatalogue
from llm_service.routing.observed import Observed
from llm_service.settings import Settings, environment
from shared.clients.auth import identity
from shared.service import create_service


def create_app(settings: Settings, *, variables: Mapping[str, str] | None = None) -> FastAPI:
    """`variables` are what `${NAME}` in the configuration stands for; the process's environment if not given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        live = LiveCatalogue(
            settings.llm_config,
            variables=environment() if variables is None else variables,
            development=settings.env == "development",
        )
        observed = Observed()
        async with AsyncExitStack() as closing:
            upstreams = await closing.enter_async_context(app.state.upstreams.running("auth"))
            known = await closing.enter_async_context(identity(upstreams["auth"], settings=settings, service="llm"))
            await closing.enter_async_context(live.running())
            yield {
                "verifier": known.verifier,
                "revocations": known.revocations,
                "concerns": [lambda: live.problem],
                "live": live,
                "observed": observed,
                "completions": Completions(live, observed),
                "embeddings": EmbeddingService(live, observed),
                "token_counts": TokenCounts(live, observed),
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
            completion_routes.anthropic_router,
            counting_routes.router,
            counting_routes.anthropic_router,
            embedding_routes.router,
            embedding_routes.openai_router,
            routing_routes.router,
        ],
    )


def __getattr__(name: str) -> FastAPI:
    """`uvicorn llm_service.main:app` builds the app from the environment; importing this module does not."""
    if name == "app":
        return create_app(Settings())
    raise AttributeError(name)
