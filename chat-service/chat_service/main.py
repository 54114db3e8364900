"""chat-service, assembled."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI

from chat_service.conversations import routes as conversations
from chat_service.generations import routes as generations
from chat_service.idempotency import IdempotencyKey
from chat_service.messages import routes as messages
from chat_service.running.following import Following
from chat_service.running.keeping import keeping
from chat_service.running.runner import Runner
from chat_service.settings import Settings
from shared.clients.auth import identity
from shared.clients.llm import LlmClient
from shared.database import database, tells_of_outages
from shared.idempotency import forgetting
from shared.service import create_service


def create_app(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with (
            app.state.upstreams.running("auth", "llm") as upstreams,
            identity(upstreams["auth"], settings=settings, service="chat") as known,
            database(settings.database_url) as sessions,
            forgetting(sessions, IdempotencyKey),
        ):
            lease = timedelta(seconds=settings.chat_lease_seconds)
            runner = Runner(sessions=sessions, llm=LlmClient(upstreams["llm"]), lease=lease)
            following = Following(sessions)
            async with keeping(runner, following, sessions=sessions), runner.running():
                yield {
                    "sessions": sessions,
                    "verifier": known.verifier,
                    "revocations": known.revocations,
                    "runner": runner,
                    "following": following,
                }

    service = create_service(
        "chat-service",
        summary="Conversations, messages, and generations that outlive connections",
        settings=settings,
        lifespan=lifespan,
        routers=[messages.router, conversations.router, generations.router],
    )
    return tells_of_outages(service)


def __getattr__(name: str) -> FastAPI:
    """`uvicorn chat_service.main:app` builds the app from the environment; importing this module does not."""
    if name == "app":
        return create_app(Settings())
    raise AttributeError(name)
