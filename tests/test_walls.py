"""Each wall of `.importlinter`, seen to hold: a violation planted in a copy turns its contract red."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("api-gateway", "auth-service", "chat-service", "launcher", "llm-service", "shared")
VIOLATIONS = {
    "Services never import each other": ("chat-service/chat_service/settings.py", "import auth_service.settings"),
    "shared imports no service": ("shared/shared/ids.py", "import llm_service.errors"),
    "Only the launcher and migrations see all": ("llm-service/llm_service/settings.py", "import launcher.errors"),
    "routes, then service, then repository": (
        "chat-service/chat_service/messages/repository.py",
        "import chat_service.messages.service",
    ),
    "In the LLM service": ("llm-service/llm_service/providers/echo.py", "import llm_service.routing.engine"),
    "Providers do not know each other": (
        "llm-service/llm_service/providers/echo.py",
        "import llm_service.providers.openai_compatible",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("copy")
    for folder in (*FOLDERS, "migrations"):
        shutil.copytree(ROOT / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", directory / ".importlinter")
    return directory


def broken_contracts(directory: Path) -> list[str]:
    path = ":".join(str(directory / folder) for folder in (*FOLDERS, "."))
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=directory,
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return re.findall(r"^(.*) BROKEN$", done.stdout, re.MULTILINE)


def test_no_wall_is_broken(copy: Path) -> None:
    assert broken_contracts(copy) == []


@pytest.mark.parametrize("wall", VIOLATIONS)
def test_a_planted_violation_is_found(copy: Path, wall: str) -> None:
    file, violation = VIOLATIONS[wall]
    innocent = (copy / file).read_text()
    try:
        (copy / file).write_text(f"{innocent}\n{violation}\n")
        assert any(name.startswith(wall) for name in broken_contracts(copy))
    finally:
        (copy / file).write_text(innocent)
