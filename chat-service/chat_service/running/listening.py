"""Hears what other replicas tell by NOTIFY, on a connection of its own."""

import asyncio
from collections.abc import Callable

import structlog

from chat_service.generations.repository import CHANNEL
from shared.database import Sessions, autocommitting

log = structlog.get_logger(__name__)

PAUSE = 0.2
"""Seconds before a connection that broke is made again."""


async def listen(sessions: Sessions, *, heard: Callable[[str], None], deaf: Callable[[], None]) -> None:
    """Calls `heard` with each word of a NOTIFY; and `deaf` where words may have been missed. Ends when cancelled."""
    engine = autocommitting(sessions)

    def tell(*said: object) -> None:
        for word in str(said[-1]).split(","):
            heard(word)

    while True:
        broken = asyncio.Event()
        try:
            async with engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                raw.add_termination_listener(lambda *_, broken=broken: broken.set())
                await raw.add_listener(CHANNEL, tell)
                deaf()
                try:
                    await broken.wait()
                finally:
                    await connection.invalidate()  # it goes back to no pool: it listens
        except Exception as error:  # the database may be away
            log.warning("not listening to the other replicas", error=repr(error))
        await asyncio.sleep(PAUSE)
