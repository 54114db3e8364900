"""What a process that serves asks of its system."""

import asyncio
import sys
from pathlib import Path

import httpx2
import pytest

from shared.connection import LIMITS
from shared.server import within_reach

PROGRAM = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from shared.server import server

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    open(__file__).close()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

serving = server(app, host="127.0.0.1", port=0)
serving._on_ready = lambda: print(serving.servers[0].sockets[0].getsockname()[1], flush=True)
serving.run()
"""


@pytest.mark.parametrize(("files", "connections"), [(256, 64), (1024, 448), (1 << 30, LIMITS.connections), (10, 1)])
def test_there_are_no_more_connections_than_the_system_has_files_for(files: int, connections: int) -> None:
    assert within_reach(LIMITS, files=files).connections == connections


async def test_strangers_who_only_connect_leave_files_for_the_others(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = await asyncio.create_subprocess_exec(sys.executable, str(program), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    strangers = []
    try:
        port = int(await process.stdout.readline())
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/")).status_code == 200
            for _ in range(300):
                strangers.append(await asyncio.open_connection("127.0.0.1", port))
            assert (await client.get("/")).status_code == 200
    finally:
        for _, writer in strangers:
            writer.close()
        process.terminate()
        await process.wait()
