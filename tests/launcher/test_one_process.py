"""`synapscale up`, as a person meets it: real processes, real signals."""

import re
import signal
import subprocess

import psutil
import pytest

from tests.launcher.homes import START_LIMIT, Home, eventually

STOP_LIMIT = 5.0
SLOWEST_SECOND_START = 15.0
"""Seconds; the aim is 4 on a machine that does nothing else."""


def test_first_start_says_what_to_do_next_and_its_curl_line_logs_in(fresh_home: Home, port: int) -> None:
    started = fresh_home.up(port=port)
    started.wait_until_healthy()
    started.wait_for("SynapScale is ready")
    told = started.output()
    assert f"http://localhost:{port}/docs" in told
    assert "the password is in .synapscale/admin_password" in told
    assert "the echo provider answers" in told
    line = re.search(r"^ +(curl .*)$", told, re.MULTILINE)
    assert line is not None
    answer = subprocess.run(["sh", "-c", line[1]], cwd=fresh_home.path, capture_output=True, text=True, check=True)
    assert '"access_token"' in answer.stdout
    started.stop(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_everything_within_its_limit(home: Home, port: int, number: signal.Signals) -> None:
    started = home.up(port=port)
    took = started.wait_until_healthy()
    print(f"healthy after {took:.1f} s")
    assert took < SLOWEST_SECOND_START
    assert home.processes() != []
    code, seconds = started.stop(number)
    assert (code, home.processes()) == (0, [])
    assert seconds < STOP_LIMIT
    assert "Traceback" not in started.output()


def test_a_signal_during_the_start_leaves_nothing_behind(home: Home, port: int) -> None:
    started = home.up(port=port)
    eventually(lambda: any(process.name() == "postgres" for process in home.processes()), what="PostgreSQL starts")
    code, seconds = started.stop(signal.SIGTERM)
    assert (code, home.processes()) == (0, [])
    assert seconds < STOP_LIMIT
    assert "Traceback" not in started.output()


def test_a_taken_port_is_named_with_the_way_out(home: Home, fresh_home: Home, port: int) -> None:
    first = home.up(port=port)
    first.wait_until_healthy()
    second = fresh_home.up(port=port)
    assert second.process.wait(20) == 1
    assert f"Port {port} on 127.0.0.1 is in use" in second.output()
    assert "--port" in second.output()
    assert fresh_home.processes() == []
    first.stop(signal.SIGTERM)


def test_a_second_one_in_the_same_directory_leaves_the_first_alone(home: Home, port: int) -> None:
    first = home.up(port=port)
    first.wait_until_healthy()
    second = home.up(port=port + 1)
    assert second.process.wait(20) == 1
    assert f"already running in .synapscale (process {first.process.pid})" in second.output()
    assert first.health()["status"] == "ok"
    first.stop(signal.SIGTERM)


def test_after_kill_9_the_next_start_takes_over_the_running_database(home: Home, port: int) -> None:
    first = home.up(port=port)
    first.wait_until_healthy()
    postgres, password = home.postgres_pid, home.admin_password
    first.stop(signal.SIGKILL)
    assert psutil.pid_exists(postgres)
    second = home.up(port=port)
    second.wait_until_healthy()
    assert home.postgres_pid == postgres
    assert second.log_in(password).status_code == 200
    second.stop(signal.SIGTERM)
    assert home.processes() == []


def test_a_database_that_is_killed_is_started_again(home: Home, port: int) -> None:
    started = home.up(port=port)
    started.wait_until_healthy()
    password, killed = home.admin_password, home.postgres_pid
    psutil.Process(killed).kill()
    started.wait_for("the embedded PostgreSQL has died and is started again")
    eventually(lambda: started.log_in(password).status_code == 200, what="the database answers again")
    assert home.postgres_pid != killed
    assert started.stop(signal.SIGTERM)[1] < 5
    assert home.processes() == []


def test_no_secret_is_printed_or_shown_on_a_command_line(home: Home, port: int) -> None:
    started = home.up(port=port)
    started.wait_until_healthy()
    shown = started.output() + "".join(" ".join(process.cmdline()) for process in home.processes())
    for name in ("admin_password", "postgres_password", "secret_key"):
        assert (home.data_dir / name).read_text() not in shown
    started.stop(signal.SIGTERM)


def test_a_database_of_ones_own_is_used_and_left_running(home: Home, port: int, empty_database_url: str) -> None:
    started = home.up(port=port, SYNAPSCALE_DATABASE_URL=empty_database_url)
    started.wait_until_healthy()
    assert [process.name() for process in home.processes() if process.name() == "postgres"] == []
    code, _ = started.stop(signal.SIGTERM)
    assert code == 0


def test_a_database_that_does_not_answer_is_named_without_its_password(home: Home, port: int) -> None:
    started = home.up(port=port, SYNAPSCALE_DATABASE_URL="postgresql://someone:hidden-word@127.0.0.1:1/nowhere")
    assert started.process.wait(20) == 1
    assert "The database does not answer" in started.output()
    assert "127.0.0.1:1/nowhere" in started.output()
    assert "hidden-word" not in started.output()
    assert "Traceback" not in started.output()


def test_a_configuration_that_cannot_be_used_is_named_without_a_traceback(home: Home, port: int) -> None:
    for arguments in ((), ("--processes",)):
        started = home.up(*arguments, port=port, SYNAPSCALE_LLM_CONFIG="config/nothing.yaml")
        assert started.process.wait(START_LIMIT) == 1
        assert "config/nothing.yaml" in started.output()
        assert "Traceback" not in started.output()


def test_another_secret_key_than_before_is_told_without_a_traceback(home: Home, port: int) -> None:
    for arguments in ((), ("--processes",)):
        started = home.up(*arguments, port=port, SYNAPSCALE_SECRET_KEY="x7-" * 16)
        assert started.process.wait(START_LIMIT) == 1
        assert "encrypted under another SYNAPSCALE_SECRET_KEY" in started.output()
        assert "Traceback" not in started.output()


def test_settings_that_cannot_be_used_are_named_without_their_values(home: Home, port: int) -> None:
    started = home.up(port=port, SYNAPSCALE_ENV="production", SYNAPSCALE_SECRET_KEY="hidden-word")
    assert started.process.wait(20) == 1
    assert "SYNAPSCALE_SECRET_KEY is missing, default or shorter" in started.output()
    assert "hidden-word" not in started.output()
    assert "Traceback" not in started.output()
