"""The whole platform in the process of the test, with settings given explicitly."""

from pathlib import Path

from launcher.standalone import create_platform
from shared.upstreams import InProcessUpstream


async def test_it_serves_with_the_given_settings_alone(database_url: str, tmp_path: Path) -> None:
    app = create_platform(
        _env_file=None, database_url=database_url, data_dir=tmp_path, secret_key="s" * 10 + "tuvwxyz" * 5,
        admin_password="correct horse battery",
    )  # fmt: skip
    platform = InProcessUpstream("platform", app=app)
    async with platform.running():
        health = (await platform.client().get("/health")).json()
        assert (health["status"], set(health["services"])) == ("ok", {"auth", "llm", "chat"})
        login = {"username": "admin", "password": "correct horse battery"}
        token = (await platform.client().post("/api/auth/token", json=login)).json()["access_token"]
        message = {"conversation_id": "conv_123", "content": "Qual é a capital do Brasil?", "model": "gpt-4"}
        answer = await platform.client().post(
            "/api/chat/messages", json=message, headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200, answer.text
        assert "Qual é a capital do Brasil?" in answer.json()["content"]
    assert files_in(tmp_path) == []


def files_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def test_every_service_finds_the_others_in_one_table(tmp_path: Path) -> None:
    app = create_platform(_env_file=None, data_dir=tmp_path)
    table = app.state.upstreams
    for name in ("auth", "llm", "chat"):
        assert table[name].app.state.upstreams is table
