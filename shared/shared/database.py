"""One engine per service, one transaction per request, committed before the answer is sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import ExceptionContext, MetaData, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from shared.errors import Unavailable, error_response

log = structlog.get_logger(__name__)

Sessions = async_sessionmaker[AsyncSession]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata_of(schema: str) -> MetaData:
    """The tables of one service: they live in a PostgreSQL schema of their own."""
    return MetaData(schema=schema, naming_convention=NAMING)


def create_engine(url: str, *, pool_size: int = 10) -> AsyncEngine:
    """What a statement was given stays out of logs and errors: it is users' text, and worse."""
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        hide_parameters=True,
        connect_args={"timeout": 5, "server_settings": {"timezone": "UTC"}},
    )
    event.listen(engine.sync_engine, "checkout", _replace_closed)
    return engine


def _replace_closed(connection: Any, *_: object) -> None:
    """Spares `pool_pre_ping`, which costs three round trips here: the socket knows that the server has gone."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


class DatabaseAway(Unavailable):
    """PostgreSQL cannot be reached, is starting or stopping, or has no connection left: nothing was committed."""

    def __init__(self) -> None:
        super().__init__("The database does not answer.", retry_after=2)


def tells_of_outages(app: FastAPI) -> FastAPI:
    """Waiting for a connection in vain is DatabaseAway too."""
    app.add_exception_handler(PoolTimeout, _no_connection_left)
    return app


async def _no_connection_left(request: Request, _: Exception) -> Response:
    return error_response(DatabaseAway(), scope=request.scope)


def _connect(dialect: Any, _: object, arguments: Any, options: Any) -> Any:
    try:
        return dialect.connect(*arguments, **options)
    except (OSError, dialect.loaded_dbapi.Error) as error:
        log.warning("no connection to the database", error=repr(error))
        raise DatabaseAway from error


def _tell_outages(context: ExceptionContext) -> None:
    original = context.original_exception
    if not isinstance(original, Exception):
        return  # a task that is cancelled must end as cancelled, though its connection is lost too
    on_a_closed_transport = isinstance(original, RuntimeError) and "closed" in str(original)  # uvloop's words
    if context.is_disconnect or on_a_closed_transport or isinstance(original, OSError):
        log.warning("the database broke a connection off", error=repr(original))
        raise DatabaseAway from original


@asynccontextmanager
async def database(url: str | None) -> AsyncIterator[Sessions]:
    """The sessions of a service for as long as it runs."""
    if url is None:
        raise RuntimeError(
            "SYNAPSCALE_DATABASE_URL is not set. `synapscale up` brings a PostgreSQL of its own; "
            "a service started alone needs the address of one."
        )
    engine = create_engine(url)
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "handle_error", _tell_outages)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False)
    finally:
        await engine.dispose()


def autocommitting(sessions: Sessions) -> AsyncEngine:
    """The same connections, but each statement is a transaction by itself, without round trips for BEGIN and COMMIT."""
    engine: AsyncEngine = sessions.kw["bind"]
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def ping(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(text("SELECT 1"))


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    """Opens the request's transaction; it commits before the answer, so a failing commit is a failing request."""
    sessions: Sessions = request.state.sessions
    async with sessions.begin() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session, scope="function")]
