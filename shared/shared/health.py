"""`GET /health` of a service: is it able to do its work."""

from collections.abc import Callable, Sequence
from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from shared import __version__
from shared.auth.revocations import Revocations

log = structlog.get_logger(__name__)

Status = Literal["ok", "degraded", "down"]
Concern = Callable[[], str | None]
"""Says what is wrong, where something is."""

router = APIRouter(tags=["system"])


class ServiceHealth(BaseModel):
    """`degraded`: it does its work, but `problem` wants a look. `down`: it does not, because of `problem`."""

    status: Status
    service: str
    version: str
    problem: str | None = None


@router.get("/health", include_in_schema=False)
async def health(request: Request, response: Response) -> ServiceHealth:
    """A service that does its work without its database says so in its state: `needs_database`."""
    problem = None
    needs_database = getattr(request.state, "needs_database", True)
    if (sessions := getattr(request.state, "sessions", None)) is not None:
        from shared.database import ping  # not above: a service without a database would pay 20 MB for it

        try:
            await ping(sessions)
        except Exception as error:  # whatever it is, it is what health is there to tell
            log.warning("database does not answer", error=repr(error))
            problem = "the database does not answer"
    is_down = problem is not None and needs_database
    response.status_code = 503 if is_down else 200
    told = "; ".join(filter(None, [problem, concern_of(request)])) or None
    status: Status = "down" if is_down else "degraded" if told else "ok"
    return ServiceHealth(status=status, service=request.app.title, version=__version__, problem=told)


def concern_of(request: Request) -> str | None:
    """What is wrong without keeping a service from its work: tokens still have to be signed by us and not expired.

    `concerns` in a service's state are its own.
    """
    revocations: Revocations | None = getattr(request.state, "revocations", None)
    concerns: Sequence[Concern] = getattr(request.state, "concerns", ())
    told = [None if revocations is None else revocations.problem, *(concern() for concern in concerns)]
    return "; ".join(filter(None, told)) or None
