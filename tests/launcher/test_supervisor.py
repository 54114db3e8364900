"""`synapscale up --processes`: what happens to the children, and what happens without their parent."""

import contextlib
import signal
import socket
import time

import psutil

from launcher.errors import PortInUse
from launcher.ports import listen
from tests.launcher.homes import Home, eventually

STOP_LIMIT = 5.0


def child_of(home: Home, package: str) -> psutil.Process:
    return next(process for process in home.processes() if f"{package}.main:app" in process.cmdline())


def the_first_to_take(port: int) -> socket.socket:
    """Before its owner is started again."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(PortInUse):
            return listen("127.0.0.1", port)
    raise AssertionError(f"port {port} is not given up")


def test_a_service_that_dies_is_shown_started_again_and_all_stop_in_time(home: Home, port: int) -> None:
    started = home.up("--processes", port=port)
    started.wait_until_healthy()
    started.wait_for("SynapScale is ready")
    assert started.log_in(home.admin_password).status_code == 200

    child_of(home, "chat_service").kill()
    eventually(lambda: started.health().get("status") == "degraded", what="the gateway tells that chat is away")
    assert started.health()["services"]["chat"]["status"] == "down"
    started.wait_until_healthy()
    started.wait_for("a service ended and is started again")
    assert '"service": "chat", "ended": "SIGKILL"' in started.output()
    assert "\nchat    | " in started.output()

    code, seconds = started.stop(signal.SIGTERM)
    assert (code, home.processes()) == (0, [])
    assert seconds < STOP_LIMIT
    assert "Traceback" not in started.output()


def test_children_end_with_a_supervisor_that_was_killed_and_the_next_start_works(home: Home, port: int) -> None:
    first = home.up("--processes", port=port)
    first.wait_until_healthy()
    postgres = home.postgres_pid
    first.stop(signal.SIGKILL)
    eventually(
        lambda: {process.name() for process in home.processes()} == {"postgres"}, what="the children end", within=10
    )
    second = home.up("--processes", port=port)
    second.wait_until_healthy()
    assert home.postgres_pid == postgres
    code, _ = second.stop(signal.SIGINT)
    assert (code, home.processes()) == (0, [])


def test_a_services_port_that_another_program_takes_ends_the_platform_and_is_named(home: Home, port: int) -> None:
    started = home.up("--processes", port=port)
    started.wait_until_healthy()
    chat = child_of(home, "chat_service")
    taken = int(chat.cmdline()[chat.cmdline().index("--port") + 1])
    chat.kill()
    with the_first_to_take(taken):
        assert started.process.wait(30) == 1
    assert f"synapscale: Port {taken} on 127.0.0.1, which chat is to listen on, stays in use" in started.output()
    assert "Traceback" not in started.output()
    assert home.processes() == []
