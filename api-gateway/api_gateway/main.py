"""The gateway: the only door."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api_gateway import health, openapi
from api_gateway.admission import Admission
from api_gateway.authentication import Authentication
from api_gateway.edge import Edge
from api_gateway.exchanged import ExchangedTokens
from api_gateway.metrics import Metrics
from api_gateway.openapi import MergedDocument, mount_docs_files
from api_gateway.proxy import Proxy
from api_gateway.rate_limit import MemoryRateLimiter, RateLimiter
from api_gateway.security_headers import SecurityHeaders
from api_gateway.settings import Settings
from api_gateway.upstreams import SERVICES
from api_gateway.welcome import router as welcome
from shared.clients.auth import identity
from shared.metrics import router as metrics_router
from shared.networks import Networks
from shared.refusals import COUNTER
from shared.service import create_service

EXPOSED_HEADERS = [
    "idempotency-replayed",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-request-id",
    "x-synapscale-attempts",
    "x-synapscale-cache",
    "x-synapscale-context",
    "x-synapscale-fallback",
    "x-synapscale-max-output-tokens",
    "x-synapscale-model",
    "x-synapscale-provider",
]


def create_app(settings: Settings) -> FastAPI:
    measured = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        limiter = _limiter(settings)
        measured.watch(limiter)
        async with (
            app.state.upstreams.running(*SERVICES) as upstreams,
            identity(upstreams["auth"], settings=settings, service="gateway") as known,
            limiter.running(),
        ):
            yield {
                "upstreams": upstreams,
                "examination": health.Examination(upstreams),
                "revocations": known.revocations,
                "authentication": Authentication(
                    known.verifier, exchanged=ExchangedTokens(known.client), issuer=settings.public_url
                ),
                "admission": Admission(limiter, settings=settings, metrics=measured),
                "metrics": measured,
                COUNTER: measured.refused,
                "metrics_from": Networks(settings.metrics_from),
                "openapi": MergedDocument(upstreams, app.openapi()),
            }

    app = create_service(
        "api-gateway",
        summary="The only door",
        settings=settings,
        lifespan=lifespan,
        routers=[welcome, openapi.router, metrics_router],
        health_router=health.router,
        openapi_url=None,
        middleware=[*_edge(settings, measured), *_cors(settings), _proxy(settings)],
    )
    mount_docs_files(app)
    return app


def _limiter(settings: Settings) -> RateLimiter:
    if settings.redis_url is None:
        return MemoryRateLimiter()
    from api_gateway.rate_limit_redis import RedisRateLimiter  # 7 MB, for those who have one

    return RedisRateLimiter(settings.redis_url)


def _edge(settings: Settings, measured: Metrics) -> list[Middleware]:
    return [
        Middleware(
            Edge,
            trusted=Networks(settings.trusted_proxies),
            headers=SecurityHeaders(https=settings.public_url.startswith("https://")),
            metrics=measured,
        )
    ]


def _cors(settings: Settings) -> list[Middleware]:
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
            max_age=600,
        )
    ]


def _proxy(settings: Settings) -> Middleware:
    return Middleware(Proxy, max_body_bytes=settings.max_body_bytes, upstream_timeout=settings.upstream_timeout)


def __getattr__(name: str) -> FastAPI:
    """`uvicorn api_gateway.main:app` builds the app from the environment; importing this module does not."""
    if name == "app":
        return create_app(Settings())
    raise AttributeError(name)
