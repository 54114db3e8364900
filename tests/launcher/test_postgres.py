"""The embedded PostgreSQL: private, durable, alone in its directory, and never in the way."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from launcher.postgres import EmbeddedPostgres, EmbeddedPostgresError

PATIENCE = 15.0


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Short, because the path of a socket may not be long; whatever runs in it is stopped."""
    directory = Path(tempfile.mkdtemp(prefix="syn-"))
    try:
        yield directory / "data"
        EmbeddedPostgres(directory / "data").stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def run(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def started_elsewhere(data_dir: Path, then: str = "") -> subprocess.Popen[str]:
    """A process that starts it, says so, and goes on with `then`."""
    code = (
        "import pathlib, sys, time\nfrom launcher.postgres import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(pathlib.Path({str(data_dir)!r}))\nprint(server.start(), flush=True)\n{then}"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_what_was_written_is_there_after_a_restart(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    url = server.start()
    await run(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert not server.is_running
    assert server.start() == url
    assert await run(url, "SELECT answer FROM kept") == 42
    assert await run(url, "SHOW fsync") == "on"
    assert await run(url, "SHOW data_checksums") == "on"


async def test_nobody_gets_in_without_the_password_or_by_a_port(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    url = server.start()
    password = (data_dir / "postgres_password").read_text()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await run(url.replace(password, "guessed"), "SELECT 1")
    assert await run(url, "SHOW listen_addresses") == ""
    assert not psutil.Process(postmaster(data_dir)).net_connections("tcp")
    for name in ("postgres", "postgres-socket"):
        assert mode(data_dir / name) == 0o700
    assert mode(data_dir / "postgres_password") == 0o600
    assert mode(data_dir) & 0o066 == 0
    assert password not in " ".join(psutil.Process(postmaster(data_dir)).cmdline())


async def test_one_that_outlived_its_launcher_is_adopted(data_dir: Path) -> None:
    launcher = started_elsewhere(data_dir, "time.sleep(60)")
    url = said(launcher)
    before = postmaster(data_dir)
    launcher.kill()
    launcher.communicate()
    assert EmbeddedPostgres(data_dir).start() == url
    assert postmaster(data_dir) == before


async def test_it_recovers_from_its_own_sudden_death(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    url = server.start()
    await run(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    process = psutil.Process(postmaster(data_dir))
    process.kill()
    wait_for(lambda: not server.is_running)
    assert await run(server.start(), "SELECT answer FROM kept") == 42


async def test_a_stale_pid_file_that_names_another_process_is_no_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    owner = pid_file.stat()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    assert not server.is_running
    server.stop()  # must not touch the process that the file names
    assert await run(server.start(), "SELECT 1") == 1


async def test_two_starts_at_once_make_one_server(data_dir: Path) -> None:
    both = [started_elsewhere(data_dir) for _ in range(2)]
    urls = {said(process) for process in both}
    for process in both:
        process.communicate()
        assert process.returncode == 0
    assert len(urls) == 1
    assert await run(urls.pop(), "SELECT 1") == 1


async def test_an_interrupted_first_start_heals_itself(data_dir: Path) -> None:
    launcher = started_elsewhere(data_dir)
    wait_for(lambda: any(data_dir.glob(".postgres-*/global")))  # initdb is at work
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    assert not (data_dir / "postgres").exists()
    assert await run(EmbeddedPostgres(data_dir).start(), "SELECT 1") == 1


async def test_a_long_path_gets_a_private_socket_elsewhere() -> None:
    root = Path(tempfile.mkdtemp(prefix="syn-"))
    server = EmbeddedPostgres(root / ("long" * 30) / "data")
    try:
        url = server.start()
        sockets = Path(url.split("host=")[1])
        assert root not in sockets.parents
        assert mode(sockets) == 0o700
        assert await run(url, "SELECT 1") == 1
        assert EmbeddedPostgres(server.data_dir).start() == url  # found again
    finally:
        server.stop()
        shutil.rmtree(root)
        shutil.rmtree(sockets, ignore_errors=True)


async def test_ctrl_c_is_not_for_it(data_dir: Path) -> None:
    launcher = started_elsewhere(data_dir, "time.sleep(60)")
    url = said(launcher)
    os.killpg(launcher.pid, signal.SIGINT)
    launcher.communicate()
    assert await run(url, "SELECT 1") == 1


async def test_a_guardian_stops_it_when_its_process_ends(data_dir: Path) -> None:
    then = "server.stop_when_process_ends(__import__('os').getpid())\nprint('guarded', flush=True)\ntime.sleep(60)"
    launcher = started_elsewhere(data_dir, then)
    said(launcher)
    assert said(launcher) == "guarded"
    server = EmbeddedPostgres(data_dir)
    assert server.is_running
    launcher.kill()
    launcher.communicate()
    wait_for(lambda: not server.is_running)


def test_a_cluster_of_another_version_is_refused_and_kept(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 16"):
        EmbeddedPostgres(data_dir).start()
    assert (data_dir / "postgres" / "PG_VERSION").read_text() == "16\n"


def test_a_failing_start_says_what_the_server_said(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    server.stop()
    with (data_dir / "postgres" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        server.start()


def python_for(user: pwd.struct_passwd) -> tuple[Path, dict[str, str]]:
    """A Python that `user` may run, with our packages; root's own is often out of reach. Skips where there is none."""
    ours = os.pathsep.join(path for path in sys.path if path)
    for python in (Path(sys.executable), Path("/usr/bin/python3")):
        probe = [str(python), "-c", "import sys; print(sys.version_info[:2])"]
        try:
            done = subprocess.run(probe, user=user.pw_uid, group=user.pw_gid, extra_groups=[], capture_output=True)
        except OSError:
            continue
        if done.stdout.decode().strip() == str(sys.version_info[:2]):
            return python, {"PYTHONPATH": ours}
    pytest.skip("no Python of this version may be run by another user")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_needs_no_root() -> None:
    nobody = pwd.getpwnam("nobody")
    directory = Path(tempfile.mkdtemp(prefix="syn-"))
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    code = (
        "import pathlib\nfrom launcher.postgres import EmbeddedPostgres\n"
        f"with EmbeddedPostgres(pathlib.Path({str(directory / 'data')!r})) as server:\n    print(server.start())\n"
    )
    try:
        python, environment = python_for(nobody)
        done = subprocess.run(
            [python, "-c", code], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd=directory,
            env={"HOME": str(directory), **environment}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert mode(directory / "data") == 0o700
        assert not (directory / "data" / "postgres" / "postmaster.pid").exists()
    finally:
        shutil.rmtree(directory)


async def test_the_users_own_postgresql_settings_do_not_leak_in(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGHOST": "/nowhere", "PGPORT": "1", "PGDATA": "/nowhere", "PGUSER": "me"}.items():
        monkeypatch.setenv(name, value)
    url = EmbeddedPostgres(data_dir).start()
    for name in ("PGHOST", "PGPORT", "PGDATA", "PGUSER"):
        monkeypatch.delenv(name)
    assert await run(url, "SELECT 1") == 1
