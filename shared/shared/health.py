"""`GET /health` of a service: is it able to do its work."""

from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from shared import __version__
from shared.database import ping

log = structlog.get_logger(__name__)

router = APIRouter(tags=["system"])


class ServiceHealth(BaseModel):
    """`problem` says what is wrong where the status is `down`."""

    status: Literal["ok", "down"]
    service: str
    version: str
    problem: str | None = None


@router.get("/health", include_in_schema=False)
async def health(request: Request, response: Response) -> ServiceHealth:
    problem = None
    if (sessions := getattr(request.state, "sessions", None)) is not None:
        try:
            await ping(sessions)
        except Exception as error:  # whatever it is, it is what health is there to tell
            log.warning("database does not answer", error=repr(error))
            problem = "the database does not answer"
    response.status_code = 503 if problem else 200
    return ServiceHealth(
        status="down" if problem else "ok", service=request.app.title, version=__version__, problem=problem
    )
