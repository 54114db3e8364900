"""What a process that serves asks of its system."""

import asyncio
import contextlib
import sys
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from shared import server
from shared.connection import LIMITS
from shared.server import within_reach
from tests.serving import served

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


COUNTING = """
import gc

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    told = b"%d" % gc.get_freeze_count()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told})
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


APP = """
import os
print("imported", "WORD" in os.environ, flush=True)

def __getattr__(name):
    print("built", os.environ["WORD"], flush=True)
    raise SystemExit(0)
"""


async def started_to_be_told(folder: Path) -> asyncio.subprocess.Process:
    (folder / "to_be_told.py").write_text(APP)
    command = ["-m", "shared.server", "to_be_told:app", "--port", "0", "--told-by-parent"]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def test_an_app_is_imported_before_its_parent_tells_and_built_after_it(tmp_path: Path) -> None:
    process = await started_to_be_told(tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"imported False\n"
    process.stdin.write(b'{"WORD": "given"}\n')
    assert await process.stdout.readline() == b"built given\n"
    await process.wait()


async def test_a_process_whose_parent_goes_before_it_tells_ends(tmp_path: Path) -> None:
    process = await started_to_be_told(tmp_path)
    told, _ = await process.communicate(b"")
    assert told == b"imported False\n"
    assert process.returncode == 0


async def test_a_connection_is_closed_when_it_has_been_idle_for_long_enough_since_its_last_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE", 0.4)
    asked = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
    async with served(FastAPI()) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        clock = asyncio.get_running_loop().time
        for _ in range(4):  # each is less idle than that, together they are more
            writer.write(asked)
            await reader.readuntil(b"}")
            answered = clock()
            await asyncio.sleep(0.2)  # the time itself is what is tested
        assert await reader.read() == b""
        assert 0.3 < clock() - answered < 3
        writer.close()


async def test_what_was_there_at_the_start_is_not_searched_for_garbage(tmp_path: Path, unused_tcp_port: int) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.server", "counting:app", "--port", str(unused_tcp_port)), cwd=tmp_path
    )
    try:
        async with asyncio.timeout(20), httpx2.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx2.ConnectError):
                    kept = int((await client.get(f"http://127.0.0.1:{unused_tcp_port}/")).text)
                    break
                await asyncio.sleep(0.05)
        assert kept > 20_000
    finally:
        process.terminate()
        await process.wait()
