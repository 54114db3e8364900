"""llm-service: one interface to every provider."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

import llm_service.catalogue.routes as catalogue_routes
import llm_service.completions.routes as completion_routes
import llm_service.counting.routes as counting_routes
import llm_service.embeddings.routes as embedding_routes
import llm_service.limits.routes as limit_routes
import llm_service.requests.routes as request_routes
import llm_service.routing.routes as routing_routes
import llm_service.usage.routes as usage_routes
from llm_service.accounting.service import Accounts
from llm_service.cache.service import AnswerCache
from llm_service.cache.stores import AnswerStore, MemoryStore
from llm_service.completions.service import Completions
from llm_service.counting.service import TokenCounts
from llm_service.embeddings.service import EmbeddingService
from llm_service.ledger.writer import Ledger
from llm_service.limits.service import Limits
from llm_service.metrics import Metrics
from llm_service.reload import LiveCatalogue
from llm_service.routing.observed import Observed
from llm_service.settings import Settings, environment
from shared import drain
from shared.clients.auth import identity
from shared.database import database, tells_of_outages
from shared.express import Express
from shared.metrics import router as metrics_router
from shared.networks import Networks
from shared.service import create_service


def create_app(settings: Settings, *, variables: Mapping[str, str] | None = None) -> FastAPI:
    """`variables` are what `${NAME}` in the configuration stands for; the process's environment if not given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        live = LiveCatalogue(
            settings.llm_config,
            variables=environment() if variables is None else variables,
            development=settings.env == "development",
            transport=settings.http_transport,
        )
        observed = Observed()
        async with AsyncExitStack() as closing:
            upstreams = await closing.enter_async_context(app.state.upstreams.running("auth"))
            known = await closing.enter_async_context(identity(upstreams["auth"], settings=settings, service="llm"))
            await closing.enter_async_context(live.running())
            sessions = await closing.enter_async_context(database(settings.database_url))
            ledger = await closing.enter_async_context(Ledger(sessions, directory=settings.spill_dir).running())
            lease = timedelta(seconds=settings.llm_lease_seconds)
            limits = await closing.enter_async_context(Limits(sessions, lease=lease).running())
            measured = Metrics(lambda: live.current, observed)
            measured.watch(ledger)
            accounts = Accounts(ledger, limits, count=measured.count)
            closing.callback(drain.on_begin(accounts.process_ends))
            store = _answer_store(settings)
            closing.push_async_callback(store.close)
            yield {
                "verifier": known.verifier,
                "revocations": known.revocations,
                "concerns": [lambda: live.problem, lambda: ledger.problem],
                "live": live,
                "observed": observed,
                "completions": Completions(live, observed, accounts, AnswerCache(store)),
                "embeddings": EmbeddingService(live, observed, accounts),
                "token_counts": TokenCounts(live, observed),
                "sessions": sessions,
                "needs_database": False,  # completions go on; limits, and reading usage, wait for it
                "ledger": ledger,
                "metrics": measured,
                "metrics_from": Networks(settings.metrics_from),
                "limits": limits,
                "secret": settings.root_secret(),
            }

    service = create_service(
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
            request_routes.router,
            usage_routes.router,
            limit_routes.router,
            limit_routes.ledger_router,
            metrics_router,
        ],
        middleware=[Middleware(Express, roads=completion_routes.ROADS)],
    )
    return tells_of_outages(service)


def _answer_store(settings: Settings) -> AnswerStore:
    if settings.redis_url is None:
        return MemoryStore()
    from llm_service.cache.redis_store import RedisStore  # 7 MB, for those who have one

    return RedisStore(settings.redis_url)


def __getattr__(name: str) -> FastAPI:
    """`uvicorn llm_service.main:app` builds the app from the environment; importing this module does not."""
    if name == "app":
        return create_app(Settings())
    raise AttributeError(name)
