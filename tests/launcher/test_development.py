"""`uvicorn api-gateway.main:app --reload`, with nothing else running."""

import signal

from tests.launcher.homes import Home, eventually


def test_the_platform_survives_reloads_and_leaves_nothing_when_the_server_goes(home: Home, port: int) -> None:
    watched = home.path / "watched"
    watched.mkdir()
    command = ["uvicorn", "api-gateway.main:app", "--reload", "--reload-dir", str(watched), "--port", str(port)]
    started = home.start(*command, port=port)
    started.wait_until_healthy()
    started.wait_for(f"SynapScale is ready: http://localhost:{port}")
    assert started.log_in(home.admin_password).status_code == 200
    postgres = home.postgres_pid

    (watched / "changed.py").write_text("x = 1\n")
    started.wait_for("Application startup complete", times=2)
    started.wait_until_healthy()
    assert home.postgres_pid == postgres
    assert started.output().count("SynapScale is ready") == 1

    code, _ = started.stop(signal.SIGTERM)
    assert code == 0
    eventually(lambda: home.processes() == [], what="nothing is left", within=5)


def test_without_reload_it_stops_its_database_itself(home: Home, port: int) -> None:
    started = home.start("uvicorn", "api-gateway.main:app", "--port", str(port), port=port)
    started.wait_until_healthy()
    started.stop(signal.SIGINT)
    assert home.processes() == []


def test_a_start_that_fails_says_why_in_a_line(home: Home, port: int) -> None:
    unreachable = "postgresql://someone:hidden-word@127.0.0.1:1/nowhere"
    command = ["uvicorn", "api-gateway.main:app", "--port", str(port)]
    started = home.start(*command, port=port, SYNAPSCALE_DATABASE_URL=unreachable)
    assert started.process.wait(20) == 3
    assert "The database does not answer" in started.output()
    assert "hidden-word" not in started.output()
    assert "Traceback" not in started.output()


def test_with_an_upstream_address_it_is_the_gateway_alone(home: Home, port: int) -> None:
    addresses = {f"SYNAPSCALE_{name}_URL": f"http://127.0.0.1:{port + 1}" for name in ("AUTH", "LLM", "CHAT")}
    started = home.start("uvicorn", "api-gateway.main:app", "--port", str(port), port=port, **addresses)
    eventually(lambda: started.health().get("status") == "down", what="the gateway answers")
    assert [process.pid for process in home.processes()] == [started.process.pid]
    started.stop(signal.SIGTERM)
