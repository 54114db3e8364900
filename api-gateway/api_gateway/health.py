"""Whether the platform can do its work: every service asked, at the same time."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import httpx2
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from api_gateway.upstreams import SERVICES
from shared import __version__
from shared.health import Status, concern_of
from shared.upstreams import Upstream, Upstreams

TIME_LIMIT = 1.0
"""Seconds for each service."""

router = APIRouter(tags=["system"])


class ServiceStatus(BaseModel):
    """`problem` says what is wrong where the status is not `ok`; a `degraded` service does its work."""

    status: Status
    latency_ms: float
    version: str | None = None
    problem: str | None = None


class Health(BaseModel):
    """`ok`: every service is. `degraded`: some are not, or the gateway has a `problem`. `down`: no service works."""

    status: Status
    version: str = __version__
    problem: str | None = None
    services: dict[str, ServiceStatus]


class Examination:
    """Whoever comes while the services are asked gets the answers that are on their way, so that a crowd costs them no
    more than one."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._running: asyncio.Task[list[ServiceStatus]] | None = None

    async def answers(self) -> list[ServiceStatus]:
        """In the order of SERVICES."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._running)

    async def _ask_all(self) -> list[ServiceStatus]:
        return await asyncio.gather(*(ask(self._upstreams[name]) for name in SERVICES))


async def examination(request: Request) -> Examination:
    found: Examination = request.state.examination
    return found


Services = Annotated[Examination, Depends(examination)]


@router.get("/health", summary="The state of every service", responses={503: {"model": Health}})
async def health(request: Request, services: Services, response: Response) -> Health:
    found = health_of(await services.answers(), concern=_concerns(request))
    response.status_code = 503 if found.status == "down" else 200
    return found


@router.get("/health/live", summary="Whether the gateway runs")
async def live() -> dict[str, Literal["ok"]]:
    return {"status": "ok"}


@router.get("/health/ready", summary="Whether the gateway can serve", responses={503: {"model": Health}})
async def ready(request: Request, services: Services, response: Response) -> Health:
    """Whether it can let anybody in: that takes auth-service, and some service to be let in to."""
    found = await health(request, services, response)
    working = {name for name, service in found.services.items() if service.status != "down"}
    response.status_code = 200 if "auth" in working and len(working) > 1 else 503
    return found


def _concerns(request: Request) -> str | None:
    concerns = (concern_of(request), request.state.admission.problem)
    return "; ".join(concern for concern in concerns if concern) or None


def health_of(answers: Sequence[ServiceStatus], *, concern: str | None) -> Health:
    """`concern` is the gateway's own."""
    found = {answer.status for answer in answers}
    status: Status = "ok"
    if found == {"down"}:
        status = "down"
    elif concern or found != {"ok"}:
        status = "degraded"
    return Health(status=status, problem=concern, services=dict(zip(SERVICES, answers, strict=True)))


async def ask(service: Upstream) -> ServiceStatus:
    started = time.perf_counter()
    body: dict[str, Any] = {}
    status: Status = "down"
    try:
        async with asyncio.timeout(TIME_LIMIT):
            answer = await service.client().get("/health")
            body = answer.json()
        problem = body.get("problem") or (None if answer.status_code == 200 else f"it answered {answer.status_code}")
        status = "down" if answer.status_code != 200 else "degraded" if problem else "ok"
    except TimeoutError:
        problem = f"it did not answer within {TIME_LIMIT:g} s"
    except (httpx2.HTTPError, ValueError, AttributeError):
        problem = "it cannot be reached"
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    version = body.get("version") if isinstance(body, dict) else None
    return ServiceStatus(status=status, latency_ms=milliseconds, version=version, problem=problem)
