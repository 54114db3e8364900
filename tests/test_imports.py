"""What a process does not have in memory, by what it is: each package here costs megabytes, and time at every start."""

import subprocess
import sys

import pytest

SDKS = {"openai", "anthropic", "google.genai", "mistralai"}
COMMON = SDKS | {"redis", "opentelemetry.sdk", "alembic", "mako", "watchfiles"}
DATABASE = {"sqlalchemy", "asyncpg"}
PASSWORDS = {"argon2"}
CONFIGURATION = {"yaml"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("api_gateway.main", COMMON | DATABASE | PASSWORDS | CONFIGURATION | {"psutil", "launcher"}),
        ("llm_service.main", COMMON | PASSWORDS | {"psutil", "launcher"}),
        ("auth_service.main", COMMON | CONFIGURATION | {"psutil", "launcher"}),
        ("chat_service.main", COMMON | PASSWORDS | CONFIGURATION | {"psutil", "launcher"}),
        ("launcher.standalone", COMMON),
        # Before it starts the others, which import what they need while it imports what it needs itself.
        ("launcher.supervisor", COMMON | DATABASE | PASSWORDS | CONFIGURATION | {"fastapi", "jwt"}),
    ],
)
def test_a_process_imports_only_what_it_uses(module: str, absent: set[str]) -> None:
    """As a start does: the app is built, and nobody has asked it anything."""
    program = f"import sys, {module} as m; getattr(m, 'app', None); print(*sys.modules)"
    environment = {"SYNAPSCALE_SECRET_KEY": "k" * 40}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert absent & set(done.stdout.split()) == set()
