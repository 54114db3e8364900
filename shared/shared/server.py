"""How every process of ours serves: uvicorn with our timeouts, draining on SIGTERM and SIGINT.

`python -m shared.server llm_service.main:app --port 8002`
"""

import argparse
import asyncio
import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from shared import drain
from shared.access import access_log
from shared.connection import LIMITS, BoundedProtocol, Limits
from shared.refusals import Refusals

log = structlog.get_logger(__name__)

KEEP_ALIVE = 75
"""Seconds; longer than our own clients keep an idle connection, so that none is closed under a request."""
GRACE = 2
"""Seconds that open connections get after SIGTERM."""
FILES_OF_OUR_OWN = 128
"""Open files that are no connections of clients: to the database, sockets to listen on, libraries."""
YOUNG = 10_000
"""New objects that are left before they are searched for garbage, which takes 0.2 ms: requests leave none."""
LONGEST_SHUTDOWN = 3.2
"""Seconds for these and the end of the lifespan together; what follows it stays under five."""


class Server(uvicorn.Server):
    """Tells the work of the process that it is to end before waiting for the connections it feeds."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not gc.isenabled():  # until now: what is imported and built stays, and no collection has to search it
            gc.freeze()
            gc.set_threshold(YOUNG, 5)
            gc.enable()
        if self.started and self._on_ready is not None:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        drain.begin()
        try:
            async with asyncio.timeout(LONGEST_SHUTDOWN):
                await super().shutdown(sockets=sockets)
        except TimeoutError:
            log.error("the shutdown took too long and was cut short", seconds=LONGEST_SHUTDOWN)
        finally:
            access_log.flush()


def server(
    app: ASGIApp | str,
    *,
    host: str,
    port: int,
    on_ready: Callable[[], None] | None = None,
    limits: Limits = LIMITS,
) -> Server:
    limits = within_reach(limits, files=_open_files())
    served: Any = app  # uvicorn types the messages of ASGI more narrowly than Starlette does
    # It is called like a class, and nothing more.
    protocol: Any = functools.partial(BoundedProtocol, limits=limits, refusals=Refusals())
    config = uvicorn.Config(
        served,
        host=host,
        port=port,
        http=protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        proxy_headers=False,
    )
    return Server(config, on_ready=on_ready)


def within_reach(limits: Limits, *, files: int) -> Limits:
    """No more connections than a process with that many open files can hold, with one behind each: where files run
    out, nobody is accepted, the database is out of reach, and strangers need no more than to connect for it.
    """
    return limits._replace(connections=min(limits.connections, max(1, (files - FILES_OF_OUR_OWN) // 2)))


def _open_files() -> int:
    """As many as the system allows: what a process starts with is often a thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS says "infinite", and takes less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def end_with_parent() -> None:
    """Ends this process, as SIGTERM does, when standard input closes: whoever holds the other end has gone."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2 * LONGEST_SHUTDOWN)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def read_what_parent_tells(app: str) -> dict[str, str]:
    """Imports the module of `app` meanwhile; ends this process where the parent has gone.

    The line is JSON: variables that complete the environment, from which the app is built.
    """
    importlib.import_module(app.partition(":")[0])
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    told: dict[str, str] = json.loads(line)
    return told


def main() -> None:
    gc.disable()  # until it serves: a fifth of the time that imports take goes into a search for garbage that is none
    parser = argparse.ArgumentParser(prog="python -m shared.server", description=__doc__)
    parser.add_argument("app", help="module:attribute of the ASGI application")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    parser.add_argument("--told-by-parent", action="store_true", help="wait for a line of JSON with more variables")
    arguments = parser.parse_args()
    if arguments.told_by_parent:
        os.environ.update(read_what_parent_tells(arguments.app))  # noqa: TID251 # before anybody reads settings
    if arguments.exit_with_parent:
        end_with_parent()
    serving = server(arguments.app, host=arguments.host, port=arguments.port)
    with contextlib.suppress(KeyboardInterrupt):
        serving.run()
    gc.freeze()  # what was imported since then, too: an SDK is a second of search at the interpreter's end
    if not serving.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
