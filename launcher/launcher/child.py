"""One service in a process of its own, started again whenever it ends by itself."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping, Sequence

import structlog

from launcher.errors import PortTaken
from launcher.ports import is_free

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before a service that ended is started again; each time twice as long."""
PROVEN_AFTER = 60.0
"""Seconds of life after which an end counts as the first one again."""
TRIES = 5
"""Times that a port is found in use by another program, one after the other, until that is no passing thing."""
LONGEST_LINE = 1 << 20


class Child:
    """It is to listen on `port` of `host`.

    Its standard input is a pipe with what it is told; it closes with this process, and the child ends.
    """

    def __init__(
        self, name: str, *, command: Sequence[str], environment: Mapping[str, str], host: str, port: int
    ) -> None:
        self.name = name
        self._host = host
        self._port = port
        self._command = command
        self._environment = environment
        self._told: bytes | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    def tell(self, variables: Mapping[str, str]) -> None:
        """What it has to know beside its environment before it can serve, now and whenever it is started again.

        Until then it imports what it is made of.
        """
        self._told = json.dumps(dict(variables)).encode() + b"\n"
        self._pass_on()

    def _pass_on(self) -> None:
        if self._told is not None and self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(self._told)

    async def keep_running(self) -> None:
        """Returns when the child has ended after `stop()`. Raises PortTaken."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        taken = 0
        while not self._stopping.is_set():
            started = clock()
            if is_free(self._host, self._port):
                taken, ended = 0, _told(await self._run())
            else:
                taken, ended = taken + 1, f"port {self._port} is in use by another program"
            if self._stopping.is_set():
                break
            if taken == TRIES:
                raise PortTaken(self._host, self._port, service=self.name)
            if clock() - started > PROVEN_AFTER:
                pause = FIRST_PAUSE
            log.error("a service ended and is started again", service=self.name, ended=ended, in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE,
            process_group=0,  # Ctrl-C is for the supervisor, which tells its children in order
        )
        if self._stopping.is_set():  # while it was being started
            self._process.terminate()
        self._pass_on()
        await self._show_output(self._process)
        return await self._process.wait()

    async def _show_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        prefix = f"{self.name:<7} | ".encode()
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than LONGEST_LINE; asyncio has dropped it
                continue
            if not line:
                return
            sys.stderr.buffer.write(prefix + line.rstrip(b"\n") + b"\n")
            sys.stderr.buffer.flush()

    def stop(self) -> None:
        """Lets it finish what it does."""
        self._stopping.set()
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._stopping.set()
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def _told(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
