"""A service whose routes create in one transaction, as auth-service's do; it stands on auth-service's tables."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, StringConstraints
from sqlalchemy import func, select

from auth_service.idempotency import Once
from auth_service.organizations.models import Organization
from shared.auth import CurrentPrincipal, TokenVerifier
from shared.clients.auth import RemoteKeys
from shared.database import Session, database, tells_of_outages
from shared.errors import Conflict
from shared.ids import new_id
from shared.service import create_service
from shared.settings import ServiceSettings

SECRET = "sk-of-the-tests-that-must-not-be-kept"
TAKEN = "taken"

router = APIRouter(prefix="/api/things")


class ThingCreate(BaseModel):
    name: Annotated[str, StringConstraints(max_length=64)]


class Thing(BaseModel):
    id: str
    name: str
    secret: str | None = None


@router.post("", status_code=201)
async def create_thing(body: ThingCreate, _: CurrentPrincipal, session: Session, once: Once) -> Thing:
    return await once(create(body, session))


@router.post("/secret", status_code=201)
async def create_thing_with_secret(body: ThingCreate, _: CurrentPrincipal, session: Session, once: Once) -> Thing:
    return await once.with_secret(create(body, session, secret=SECRET))


@router.post("/{place}/parts", status_code=201)
async def create_part(place: str, body: ThingCreate, _: CurrentPrincipal, session: Session, once: Once) -> Thing:
    return await once(create(body, session))


async def create(body: ThingCreate, session: Session, secret: str | None = None) -> Thing:
    count = select(func.count()).select_from(Organization).where(Organization.name == TAKEN)
    if body.name == TAKEN and await session.scalar(count):
        raise Conflict("There is one of that name.")
    thing = Organization(id=new_id("org"), name=body.name)
    session.add(thing)
    await session.flush()
    return Thing(id=thing.id, name=thing.name, secret=secret)


def create_app(settings: ServiceSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with app.state.upstreams.running("auth") as upstreams, database(settings.database_url) as sessions:
            verifier = TokenVerifier(RemoteKeys(upstreams["auth"]), issuer=settings.public_url)
            yield {"sessions": sessions, "verifier": verifier}

    service = create_service("things", summary="", settings=settings, lifespan=lifespan, routers=[router])
    return tells_of_outages(service)


def __getattr__(name: str) -> FastAPI:
    if name == "app":
        return create_app(ServiceSettings())
    raise AttributeError(name)
