"""The shape of the house, as far as a machine can see it; import-linter (`.importlinter`) sees the rest."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "api-gateway": "api_gateway",
    "auth-service": "auth_service",
    "chat-service": "chat_service",
    "launcher": "launcher",
    "llm-service": "llm_service",
    "shared": "shared",
}
SERVICES = [folder for folder in PACKAGES if folder.endswith("-service")]
ROOMS = {"__init__", "routes", "schemas", "service", "repository", "models", "errors"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 40

# The ratchet: what is longer than it should be, with its length today. It may shrink, never grow.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


def sources() -> Iterator[Path]:
    for folder, package in PACKAGES.items():
        yield from (ROOT / folder / package).rglob("*.py")
    yield from (ROOT / "migrations").glob("*.py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    for path in sources():
        yield path, ast.parse(path.read_text())


def test_every_package_was_found() -> None:
    assert len(list(sources())) > 60


def test_no_file_outgrows_its_room() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources()}
    assert {n: length for n, length in lengths.items() if length > LONG_FILES.get(n, LONGEST_FILE)} == {}


def test_no_function_outgrows_a_screen() -> None:
    too_long = {}
    for path, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                where = f"{name_of(path)}:{node.name}"
                lines = node.end_lineno - node.lineno + 1 - nested_lines(node)
                if lines > LONG_FUNCTIONS.get(where, LONGEST_FUNCTION):
                    too_long[where] = lines
    assert too_long == {}


def nested_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Functions inside a function are counted by themselves."""
    inner = [node for node in function.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in inner)


def test_every_module_says_what_it_is() -> None:
    assert [name_of(path) for path, tree in parsed() if not ast.get_docstring(tree)] == []


def test_every_public_class_says_what_it_is() -> None:
    """Classes of one line that only name an error or a message are exempt: their name says it."""
    silent = [
        f"{name_of(path)}:{node.name}"
        for path, tree in parsed()
        if "/models.py" not in name_of(path) and "/schemas.py" not in name_of(path)
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
        if len(node.body) > 3
    ]
    assert silent == []


@pytest.mark.parametrize("folder", SERVICES)
def test_a_noun_has_only_known_rooms(folder: str) -> None:
    """A noun is a folder with routes; it holds the rooms of the architecture and no others but what they name."""
    package = ROOT / folder / PACKAGES[folder]
    for noun in (path.parent for path in package.glob("*/routes.py")):
        rooms = {path.stem for path in noun.glob("*.py")}
        assert rooms <= ROOMS | ALLOWED_ROOMS.get(f"{PACKAGES[folder]}/{noun.name}", set()), noun


ALLOWED_ROOMS: dict[str, set[str]] = {
    "auth_service/keys": {"sealing"},  # encryption at rest knows nothing of keys' rules
    "auth_service/sessions": {"refresh_tokens"},  # how one looks and what follows it knows nothing of sessions
    "auth_service/organizations": {"roles"},  # what each may do is a table of its own
    "auth_service/users": {"names", "passwords", "password_policy"},  # how one is normalised, hashed, and refused
    "auth_service/tokens": {"issuer"},  # logins, API keys and grants have their tokens made in one place
    "llm_service/routing": {
        "answering",
        "attempts",
        "breaker",
        "engine",
        "observed",
        "plan",
        "policy",
        "refusals",
        "spans",
        "summaries",
        "timers",
        "turns",
    },  # the heart of the service: one concept a file, and none of them is HTTP, SQL or JSON
    "llm_service/completions": {"writers"},  # how a stream is written to a client is neither rule nor schema
    "llm_service/accounting": {"estimates", "headers", "worst"},  # guesses, bounds, and headers: none of it is rules
}


def test_routes_hold_no_sql() -> None:
    offenders = [
        name_of(path)
        for path, tree in parsed()
        if path.stem in ("routes", "schemas", "service")
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if module.partition(".")[0] == "sqlalchemy" and module not in ("sqlalchemy.exc", "sqlalchemy.ext.asyncio")
    ]
    offenders += [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in parsed()
        if path.stem in ("routes", "schemas", "service")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and re.search(r"session\.(execute|scalars?|get|stream)$", ast.unparse(node.func))
    ]
    assert offenders == []


def test_no_dependency_runs_in_a_thread() -> None:
    """FastAPI hands one that is not `async` to a thread and waits for it, at every request."""
    functions = {node.name: node for _, tree in parsed() for node in tree.body if isinstance(node, ast.FunctionDef)}
    asked_for = {
        ast.unparse(node.args[0]).rpartition(".")[2]
        for _, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Depends" and not isinstance(node.args[0], ast.Call)
    }
    assert len(asked_for) > 20
    assert asked_for & functions.keys() == set()


def test_no_service_runs_commands_or_templates() -> None:
    """What users send is data: it starts no program, and no template is made of it."""
    modules = {"chevron", "code", "codeop", "jinja2", "mako", "multiprocessing", "pty", "runpy", "subprocess"}
    calls = re.compile(r"(os\.(system|popen|exec\w+|spawn\w+)|asyncio\.create_subprocess_\w+|eval|exec|compile)")
    offenders = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in parsed()
        if not path.is_relative_to(ROOT / "launcher")  # which starts PostgreSQL and the services
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(each.name.partition(".")[0] in modules for each in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in modules)
        or (isinstance(node, ast.Call) and calls.fullmatch(ast.unparse(node.func)))
    ]
    assert offenders == []


def test_no_provider_is_compared_by_name() -> None:
    """A provider is an object, found in one table."""
    names = {"openai", "openai_compatible", "echo", "ollama", "anthropic", "gemini", "mistral"}
    offenders = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in parsed()
        if path.is_relative_to(ROOT / "llm-service")
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.MatchValue) and "dialect" not in ast.unparse(node)
        if any(isinstance(one, ast.Constant) and one.value in names for one in ast.walk(node))
    ]
    assert offenders == []


def test_every_service_has_its_shim_and_its_place_in_the_workspace() -> None:
    workspace = (ROOT / "pyproject.toml").read_text()
    for folder, package in PACKAGES.items():
        assert f'"{folder}"' in workspace
        if folder not in ("launcher", "shared"):
            assert package in (ROOT / folder / "main.py").read_text()
            assert not (ROOT / folder / "__init__.py").exists()


def test_the_environment_example_equals_the_settings() -> None:
    """Every setting of every service stands in .env.example, and nothing else does."""
    from api_gateway.settings import Settings as Gateway
    from auth_service.settings import Settings as Auth
    from chat_service.settings import Settings as Chat
    from llm_service.settings import Settings as Llm

    settings = {f"SYNAPSCALE_{name.upper()}" for kind in (Gateway, Auth, Chat, Llm) for name in kind.model_fields}
    example = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    config = re.sub(r"#.*", "", (ROOT / "config" / "llm.yaml").read_text())
    variables = set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", config))
    assert example == settings | variables | LAUNCHER_SETTINGS | COMPOSE_SETTINGS


LAUNCHER_SETTINGS = {"SYNAPSCALE_HOST", "SYNAPSCALE_PORT"}
COMPOSE_SETTINGS = {"POSTGRES_PASSWORD"}
