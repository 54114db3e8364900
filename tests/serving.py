"""Apps on real sockets, in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.connection import LIMITS, Limits
from shared.server import server

START_LIMIT = 10.0


@asynccontextmanager
async def served(app: Any, *, limits: Limits = LIMITS) -> AsyncIterator[str]:
    """The address at which `app` answers while the block lasts."""
    serving = server(app, host="127.0.0.1", port=0, limits=limits)
    task = asyncio.create_task(serving.serve())
    try:
        async with asyncio.timeout(START_LIMIT):
            while not serving.started:
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
        port = serving.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.should_exit = True
        serving.config.timeout_graceful_shutdown = 0  # tests leave connections open on purpose
        await task
