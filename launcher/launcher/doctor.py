"""`synapscale doctor`: every check, what it found, and how to mend what is wrong."""

from collections.abc import Callable, Iterator

from pydantic import ValidationError

from launcher import checks, database_checks
from launcher.checks import Finding
from launcher.errors import mistakes_in
from launcher.settings import Settings

OF_THE_MACHINE: tuple[Callable[[], Iterator[Finding]], ...] = (checks.python, checks.memory, checks.dotenv)
OF_THE_SETTINGS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    checks.disk,
    checks.port,
    database_checks.database,
    checks.providers,
    checks.secrets,
)


def examine() -> int:
    """Prints a line for each finding; 1 where something would not work, else 0."""
    wrong = 0
    for finding in _findings():
        print(f"{'ok' if finding.mend is None else 'FAIL':<6}{finding.what:<12}{finding.told}")
        if finding.mend is not None:
            wrong += 1
            print(f"{'':<18}→ {finding.mend}")
    print(f"\n{wrong} to mend." if wrong else "\nNothing is in the way of `synapscale up`.")
    return min(wrong, 1)


def _findings() -> Iterator[Finding]:
    for check in OF_THE_MACHINE:
        yield from check()
    try:
        settings = Settings()
        for examined in OF_THE_SETTINGS:
            yield from examined(settings)
    except ValidationError as error:
        for mistake in mistakes_in(error).splitlines():
            yield Finding("settings", mistake, "Correct it in the environment or in .env; .env.example explains it.")
