"""The secrets of an installation, made once where none are given."""

from launcher.settings import SecretSettings
from shared.secrets import GENERATED, stored_secret


def make_missing_secrets() -> None:
    """Those that the environment does not give, in the data directory, each readable by its owner only."""
    given = SecretSettings()
    for name, length in GENERATED.items():
        if getattr(given, name) is None:
            stored_secret(given.data_dir, name, length=length)
