"""Whether the platform can do its work: every service asked, at the same time."""

import asyncio
import time
from typing import Annotated, Any, Literal

import httpx2
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from api_gateway.upstreams import SERVICES
from shared import __version__
from shared.upstreams import Upstream, Upstreams

TIME_LIMIT = 1.0
"""Seconds for each service."""

router = APIRouter(tags=["system"])


class ServiceStatus(BaseModel):
    """`problem` says what is wrong where the status is `down`."""

    status: Literal["ok", "down"]
    latency_ms: float
    version: str | None = None
    problem: str | None = None


class Health(BaseModel):
    """`ok`: every service is. `degraded`: some are not. `down`: none is."""

    status: Literal["ok", "degraded", "down"]
    version: str = __version__
    services: dict[str, ServiceStatus]


def upstreams(request: Request) -> Upstreams:
    found: Upstreams = request.state.upstreams
    return found


Services = Annotated[Upstreams, Depends(upstreams)]


@router.get("/health", summary="The state of every service", responses={503: {"model": Health}})
async def health(services: Services, response: Response) -> Health:
    found = await ask_all(services)
    response.status_code = 503 if found.status == "down" else 200
    return found


@router.get("/health/live", summary="Whether the gateway runs")
async def live() -> dict[str, Literal["ok"]]:
    return {"status": "ok"}


@router.get("/health/ready", summary="Whether the gateway can serve", responses={503: {"model": Health}})
async def ready(services: Services, response: Response) -> Health:
    return await health(services, response)


async def ask_all(services: Upstreams) -> Health:
    answers = await asyncio.gather(*(ask(services[name]) for name in SERVICES))
    healthy = sum(answer.status == "ok" for answer in answers)
    status: Literal["ok", "degraded", "down"] = "down" if healthy == 0 else "degraded"
    return Health(
        status="ok" if healthy == len(answers) else status, services=dict(zip(SERVICES, answers, strict=True))
    )


async def ask(service: Upstream) -> ServiceStatus:
    started = time.perf_counter()
    body: dict[str, Any] = {}
    try:
        async with asyncio.timeout(TIME_LIMIT):
            answer = await service.client().get("/health")
            body = answer.json()
        problem = None if answer.status_code == 200 else body.get("problem") or f"it answered {answer.status_code}"
    except TimeoutError:
        problem = f"it did not answer within {TIME_LIMIT:g} s"
    except (httpx2.HTTPError, ValueError, AttributeError):
        problem = "it cannot be reached"
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    version = body.get("version") if isinstance(body, dict) else None
    return ServiceStatus(status="down" if problem else "ok", latency_ms=milliseconds, version=version, problem=problem)
