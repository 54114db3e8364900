"""The `synapscale` command. What takes time to import is imported by the command that needs it."""

import argparse
import gc
import sys

from shared import __version__

DESCRIPTION = """\
SynapScale: one door to many language models, self-hosted.
Run it in the folder that holds config/ and migrations/.
"""

EXAMPLES = """\
examples:
  synapscale up                   everything in one process, with a PostgreSQL of its own
  synapscale up --port 9000       the same, on another port
  synapscale up --processes       a process per service, the gateway in front of them
  synapscale admin-password       what to log in with at first
  synapscale doctor               what would not work here, and how to mend it
  synapscale keys rotate          a new key to sign tokens, without logging anybody out

Settings are environment variables or lines of .env; .env.example lists them all.
"""


def main() -> None:
    """Exits with 0 where all went well or was stopped as asked, 1 where something is in the way, 2 for wrong usage."""
    gc.disable()  # until it serves: a fifth of the time that imports take goes into a search for garbage that is none
    arguments = _parser().parse_args()
    status = _run(arguments)
    gc.freeze()  # the interpreter would search all that four SDKs declare for garbage, a second of work, before it ends
    sys.exit(status)


def _run(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from launcher.errors import CannotStart, mistakes_in

    try:
        status: int = arguments.command(arguments)
    except ValidationError as error:
        print(f"synapscale: the settings cannot be used.\n{mistakes_in(error)}", file=sys.stderr)
    except CannotStart as error:
        print(f"synapscale: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    else:
        return status
    return 1


def _up(arguments: argparse.Namespace) -> int:
    from launcher.root import make_migrations_importable
    from launcher.settings import Settings

    make_migrations_importable()
    given = {"host": arguments.host, "port": arguments.port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    if arguments.processes:
        from launcher.supervisor import serve
    else:
        from launcher.one_process import serve
    serve(settings)
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from launcher.migrating import migrate_configured_database
    from launcher.root import make_migrations_importable
    from launcher.secrets import make_missing_secrets

    make_migrations_importable()
    if arguments.make_secrets:
        make_missing_secrets()
    migrate_configured_database()
    return 0


def _admin_password(arguments: argparse.Namespace) -> int:  # noqa: ARG001 # every command takes its arguments
    from auth_service.admin_password import show_admin_password

    return show_admin_password()


def _doctor(arguments: argparse.Namespace) -> int:  # noqa: ARG001 # as above
    from launcher.doctor import examine
    from launcher.root import make_migrations_importable

    make_migrations_importable()
    return examine()


def _rotate_keys(arguments: argparse.Namespace) -> int:
    from launcher.root import make_migrations_importable
    from launcher.signing_keys import rotate_keys

    make_migrations_importable()
    rotate_keys(at_once=arguments.now)
    return 0


def _list_keys(arguments: argparse.Namespace) -> int:  # noqa: ARG001 # as above
    from launcher.root import make_migrations_importable
    from launcher.signing_keys import show_keys

    make_migrations_importable()
    show_keys()
    return 0


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="synapscale", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=as_written
    )
    parser.add_argument("--version", action="version", version=f"synapscale {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    up = commands.add_parser(
        "up",
        help="start the platform",
        description="Starts PostgreSQL (unless SYNAPSCALE_DATABASE_URL names one), migrates it, creates the admin at\n"
        "the first start, and serves until Ctrl-C or SIGTERM, which let running answers finish.",
        epilog="A second Ctrl-C does not wait for running answers.",
        formatter_class=as_written,
    )
    up.add_argument("--processes", action="store_true", help="a process per service, restarted when one dies")
    up.add_argument("--host", help="address to listen on (default: SYNAPSCALE_HOST, or 127.0.0.1)")
    up.add_argument("--port", type=int, metavar="N", help="port to listen on (default: SYNAPSCALE_PORT, or 8000)")
    up.set_defaults(command=_up)

    _add_migrate(commands)
    _add_admin_password(commands)

    doctor = commands.add_parser(
        "doctor",
        help="check Python, ports, database, keys, secrets and disk",
        description="Checks what the platform needs, starts and changes nothing, and says how to mend what it finds.\n"
        "Exits with 1 if something would keep the platform from working.",
        formatter_class=as_written,
    )
    doctor.set_defaults(command=_doctor)
    _add_keys(commands)
    return parser


def _add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = commands.add_parser(
        "keys", help="list or rotate the keys that sign tokens", description="The keys that sign access tokens."
    )
    verbs = keys.add_subparsers(title="commands", metavar="COMMAND", required=True)
    rotate = verbs.add_parser(
        "rotate",
        help="make a new key",
        description="Makes a new key. It is published at once and signs in ten minutes, when everybody who verifies\n"
        "tokens knows it; the key before it goes on verifying until the tokens it signed have expired.\n"
        "Nobody is logged out, and nothing has to be restarted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rotate.add_argument("--now", action="store_true", help="sign with it from now on (within a minute)")
    rotate.set_defaults(command=_rotate_keys)
    shown = verbs.add_parser("list", help="show them", description="Shows the keys, newest first.")
    shown.set_defaults(command=_list_keys)


def _add_admin_password(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    admin_password = commands.add_parser(
        "admin-password",
        help="print the password that the admin was made with",
        description="Prints the password that the admin was made with at the first start, and nothing else: the one\n"
        "of SYNAPSCALE_ADMIN_PASSWORD, or else the generated one. Of later changes it knows nothing.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    admin_password.set_defaults(command=_admin_password)


def _add_migrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    migrate = commands.add_parser(
        "migrate",
        help="bring the database up to date",
        description="Brings the database up to date: the one that SYNAPSCALE_DATABASE_URL names, or else the embedded\n"
        "PostgreSQL, which is started for it unless it runs already. Changes nothing where nothing is due.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    migrate.add_argument(
        "--make-secrets",
        action="store_true",
        help="first make the secret key and the admin's password, where none are given, in the data directory",
    )
    migrate.set_defaults(command=_migrate)
