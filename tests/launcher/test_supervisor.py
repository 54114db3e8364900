"""`synapscale up --processes`: what happens to the children, and what happens without their parent."""

import signal

import psutil

from tests.launcher.homes import Home, eventually

STOP_LIMIT = 5.0


def child_of(home: Home, package: str) -> psutil.Process:
    return next(process for process in home.processes() if f"{package}.main:app" in process.cmdline())


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
