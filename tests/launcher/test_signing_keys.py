"""`synapscale keys`: listing and rotating the keys that sign tokens."""

import signal

import jwt

from tests.launcher.homes import Home, eventually


def kid(running: object, home: Home) -> str:
    answer = running.log_in(home.admin_password)  # type: ignore[attr-defined]
    return str(jwt.get_unverified_header(answer.json()["access_token"])["kid"])


def test_a_database_that_is_not_up_to_date_is_told(fresh_home: Home) -> None:
    done = fresh_home.run("synapscale", "keys", "rotate")
    assert done.returncode == 1
    assert "synapscale migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_rotated_beside_a_running_platform_and_without_it(home: Home, port: int) -> None:
    running = home.up(port=port, SYNAPSCALE_RATE_LIMIT_LOGIN_PER_MINUTE="0")  # it logs in until it sees the new key
    running.wait_until_healthy()
    old = kid(running, home)
    done = home.run("synapscale", "keys", "rotate", "--now")
    assert done.returncode == 0, done.stderr
    new = done.stdout.split()[3].rstrip(".")
    assert "signs from now on" in done.stdout
    eventually(lambda: kid(running, home) == new, what="the new key signs", within=60)
    running.stop(signal.SIGTERM)

    waiting = home.run("synapscale", "keys", "rotate")
    assert "published now and signs from" in waiting.stdout
    listed = home.run("synapscale", "keys", "list")
    assert listed.returncode == 0, listed.stderr
    states = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert "verifies, verifies until" not in listed.stdout
    assert "  signs, verifies until " in states[new]
    assert "  verifies until " in states[old]
    assert "  signs from " in states[waiting.stdout.split()[3].rstrip(".")]


def test_another_secret_is_told_and_changes_nothing(home: Home, port: int) -> None:
    running = home.up(port=port)
    running.wait_until_healthy()
    before = home.run("synapscale", "keys", "list").stdout
    done = home.run("synapscale", "keys", "rotate", SYNAPSCALE_SECRET_KEY="another-secret-of-the-tests-0123456789")
    assert done.returncode == 1
    assert "SYNAPSCALE_SECRET_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert home.run("synapscale", "keys", "list").stdout == before
    running.stop(signal.SIGTERM)
