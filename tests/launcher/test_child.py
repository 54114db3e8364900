"""A service in a process of its own, without the rest of the platform."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher import child
from launcher.child import TRIES, Child
from launcher.errors import PortTaken
from launcher.ports import listen
from tests.launcher.homes import free_port

ENDS_AT_ONCE = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(7)"
ENDS_WHEN_ASKED = "import sys; print('to be seen', flush=True); open(sys.argv[1], 'a').write('x'); sys.stdin.read()"

TOLD = "import sys; line = sys.stdin.readline(); open(sys.argv[1], 'a').write(line)"


def child_that(program: str, *, starts: Path, port: int | None = None) -> Child:
    command = [sys.executable, "-c", program, str(starts)]
    return Child("test", command=command, environment={}, host="127.0.0.1", port=port or free_port())


def starts_in(file: Path) -> int:
    return len(file.read_text()) if file.exists() else 0


async def until_started(file: Path, *, times: int) -> None:
    async with asyncio.timeout(20):
        while starts_in(file) < times:  # noqa: ASYNC110 # another process writes
            await asyncio.sleep(0.02)


async def test_each_pause_is_twice_as_long(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(child, "LONGEST_PAUSE", 0.2)
    paused: list[float] = []
    monkeypatch.setattr(child.log, "error", lambda *_, in_seconds, **__: paused.append(in_seconds))
    started = child_that(ENDS_AT_ONCE, starts=tmp_path / "starts")
    running = asyncio.create_task(started.keep_running())
    await until_started(tmp_path / "starts", times=4)
    started.stop()
    await running
    assert paused[:3] == [0.1, 0.2, 0.2]


async def test_the_pause_starts_anew_after_a_proven_life(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(child, "PROVEN_AFTER", 0.0)
    paused: list[float] = []
    monkeypatch.setattr(child.log, "error", lambda *_, in_seconds, **__: paused.append(in_seconds))
    started = child_that(ENDS_AT_ONCE, starts=tmp_path / "starts")
    running = asyncio.create_task(started.keep_running())
    await until_started(tmp_path / "starts", times=3)
    started.stop()
    await running
    assert paused[:2] == [0.1, 0.1]


async def test_one_that_waits_to_be_started_again_is_stopped_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    waiting = asyncio.Event()
    monkeypatch.setattr(child, "FIRST_PAUSE", 30.0)
    monkeypatch.setattr(child.log, "error", lambda *_, **__: waiting.set())
    started = child_that(ENDS_AT_ONCE, starts=tmp_path / "starts")
    running = asyncio.create_task(started.keep_running())
    await asyncio.wait_for(waiting.wait(), 20)
    started.stop()
    await asyncio.wait_for(running, 1)


async def test_its_lines_carry_its_name_and_a_stop_is_no_death(tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    deaths: list[Any] = []
    monkeypatch.setattr(child.log, "error", lambda *told, **_: deaths.append(told))
    started = child_that(ENDS_WHEN_ASKED, starts=tmp_path / "starts")
    running = asyncio.create_task(started.keep_running())
    await until_started(tmp_path / "starts", times=1)
    started.stop()
    await asyncio.wait_for(running, 5)
    assert deaths == []
    assert capfd.readouterr().err == "test    | to be seen\n"


async def test_it_waits_to_be_told_and_is_told_again_when_it_is_started_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.01)
    started = child_that(TOLD, starts=tmp_path / "told")
    running = asyncio.create_task(started.keep_running())
    started.tell({"SYNAPSCALE_DATABASE_URL": "one"})
    line = '{"SYNAPSCALE_DATABASE_URL": "one"}\n'
    await until_started(tmp_path / "told", times=2 * len(line))
    started.stop()
    await running
    assert (tmp_path / "told").read_text().startswith(2 * line)


async def test_a_port_that_stays_taken_is_named_and_not_tried_for_ever(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.01)
    said: list[str] = []
    monkeypatch.setattr(child.log, "error", lambda *_, ended, **__: said.append(ended))
    port = free_port()
    with listen("127.0.0.1", port), pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1, which test"):
        await asyncio.wait_for(child_that(ENDS_AT_ONCE, starts=tmp_path / "starts", port=port).keep_running(), 20)
    assert said == [f"port {port} is in use by another program"] * (TRIES - 1)
    assert starts_in(tmp_path / "starts") == 0


async def test_a_port_that_is_free_again_in_time_is_used(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.01)
    port = free_port()
    listener = listen("127.0.0.1", port)
    tries: list[Any] = []

    def frees(*_: Any, **__: Any) -> None:
        tries.append(None)
        if len(tries) == TRIES - 1:
            listener.close()

    monkeypatch.setattr(child.log, "error", frees)
    started = child_that(ENDS_WHEN_ASKED, starts=tmp_path / "starts", port=port)
    running = asyncio.create_task(started.keep_running())
    await until_started(tmp_path / "starts", times=1)
    started.stop()
    await asyncio.wait_for(running, 5)
