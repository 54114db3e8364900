"""What `synapscale` is in auth-service's image, which has no launcher: `synapscale admin-password`."""

import argparse
import sys

from auth_service.admin_password import show_admin_password


def main() -> None:
    parser = argparse.ArgumentParser(prog="synapscale")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser("admin-password", help="print the password that the admin was made with")
    parser.parse_args()
    sys.exit(show_admin_password())


if __name__ == "__main__":
    main()
