"""`synapscale admin-password`: what the admin was made with at the first start."""

import sys

from auth_service.settings import Settings


def show_admin_password() -> int:
    """Prints it alone, for scripts; returns the exit code."""
    settings = Settings()
    password = settings.given_or_kept("admin_password")
    if password is None:
        told = f"There is no password in {settings.data_dir} yet: the first start makes one."
        sys.stderr.write(f"synapscale: {told}\n")
        return 1
    sys.stdout.write(f"{password}\n")
    return 0
