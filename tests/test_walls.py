"""Each wall, seen to hold: a violation planted in a copy turns its contract or its test red."""

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
    for folder in (*FOLDERS, "migrations", "config"):
        shutil.copytree(ROOT / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "tests").mkdir()
    for file in (".importlinter", ".env.example", "pyproject.toml", "tests/test_architecture.py"):
        shutil.copy(ROOT / file, directory / file)
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


LONG_FUNCTION = "def long() -> None:\n" + "    print()\n" * 41
SILENT_CLASS = "class Silent:\n" + "".join(f"    {name} = 1\n" for name in "abcd")
COMPARED_LEFT = "def is_openai(provider: object) -> bool:\n    return provider == 'openai'\n"
COMPARED_RIGHT = "def is_openai(row: object) -> bool:\n    return 'openai' in (row,)\n"
COMPARED_BY_MATCH = "def name(row: object) -> None:\n    match row:\n        case 'openai':\n            pass\n"
SERVICE = "chat-service/chat_service/messages/service.py"
PLANTED = [
    ("test_no_file_outgrows_its_room", "shared/shared/ids.py", "x = 1\n" * 400),
    ("test_no_function_outgrows_a_screen", "shared/shared/ids.py", LONG_FUNCTION),
    ("test_every_module_says_what_it_is", "shared/shared/silent.py", "x = 1\n"),
    ("test_every_public_class_says_what_it_is", "shared/shared/ids.py", SILENT_CLASS),
    ("test_a_noun_has_only_known_rooms", "chat-service/chat_service/messages/helpers.py", '"""Help."""\n'),
    ("test_routes_hold_no_sql", "chat-service/chat_service/messages/routes.py", "from sqlalchemy.orm import aliased\n"),
    ("test_routes_hold_no_sql", SERVICE, "async def f(session: object) -> None:\n    await session.execute('')\n"),
    ("test_no_service_runs_commands_or_templates", SERVICE, "import subprocess\n"),
    ("test_no_service_runs_commands_or_templates", SERVICE, "eval('1')\n"),
    ("test_no_provider_is_compared_by_name", "llm-service/llm_service/config.py", COMPARED_LEFT),
    ("test_no_provider_is_compared_by_name", "llm-service/llm_service/config.py", COMPARED_RIGHT),
    ("test_no_provider_is_compared_by_name", "llm-service/llm_service/config.py", COMPARED_BY_MATCH),
    ("test_every_service_has_its_shim_and_its_place", "llm-service/__init__.py", ""),
    ("test_the_environment_example_equals_the_settings", ".env.example", "SYNAPSCALE_NOTHING=1\n"),
]


def failed_tests(directory: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "-c", "pytest.ini"]
    (directory / "pytest.ini").write_text("[pytest]\n")
    path = ":".join(str(directory / folder) for folder in (*FOLDERS, "."))
    environment = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, "tests/test_architecture.py"], cwd=directory, env=environment, capture_output=True, text=True
    )
    assert re.search(r"\d+ (passed|failed)", done.stdout), done.stdout + done.stderr
    return re.findall(r"^FAILED tests/test_architecture.py::(\w+)", done.stdout, re.MULTILINE)


def test_the_copy_has_the_shape_of_the_house(copy: Path) -> None:
    assert failed_tests(copy) == []


@pytest.mark.parametrize(("test", "file", "violation"), PLANTED)
def test_a_planted_outlier_is_found(copy: Path, test: str, file: str, violation: str) -> None:
    path = copy / file
    innocent = path.read_text() if path.exists() else None
    try:
        path.write_text(f"{innocent or ''}\n{violation}" if innocent is not None else violation)
        assert [name for name in failed_tests(copy) if name.startswith(test)] != []
    finally:
        path.unlink() if innocent is None else path.write_text(innocent)
