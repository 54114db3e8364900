"""The `synapscale` command. Whatever takes time to import is imported by the command that needs it."""

import argparse
import sys

DESCRIPTION = "One door to many language models. Run it in the folder that holds config/ and migrations/."

EXAMPLES = """\
examples:
  synapscale up                     everything in one process, with a PostgreSQL of its own
  synapscale up --port 9000         the same, on another port
  synapscale up --processes         a process per service, the gateway in front
  synapscale doctor                 what is wrong here, and how to mend it

Settings are environment variables or lines of .env; .env.example lists them all.
"""


def main() -> None:
    """Exits with 0 where everything went well or was stopped as asked, with 1 where it could not, 2 for wrong usage."""
    arguments = _parser().parse_args()
    sys.exit(_run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from launcher.errors import CannotStart, mistakes_in
    from launcher.settings import Settings

    try:
        given = {name: value for name in ("host", "port") if (value := getattr(arguments, name, None)) is not None}
        return int(arguments.run(arguments, Settings(**given)) or 0)
    except ValidationError as error:
        print(f"synapscale: the settings cannot be used:\n{mistakes_in(error)}", file=sys.stderr)
    except CannotStart as error:
        print(f"synapscale: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 1
