"""Secrets that are generated once and kept in the data directory, readable by their owner only."""

import os
import secrets
from pathlib import Path

GENERATED = {"secret_key": 48, "admin_password": 18}
"""What is generated where it is not given: the name of its file, and of its setting, and its random bytes."""


def kept_secret(data_dir: Path, name: str) -> str | None:
    """The secret that `stored_secret` made there, if it did; makes none. Raises ValueError where it is unreadable."""
    path = data_dir / name
    try:
        return path.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def stored_secret(data_dir: Path, name: str, *, length: int = 48) -> str:
    """Returns the secret kept in `data_dir/name`, making it (URL-safe, `length` random bytes) if there is none.

    Several processes may ask at the same moment: the file appears whole or not at all, and all get the same.
    """
    path = data_dir / name
    if not path.exists():
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        draft = data_dir / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(length))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails if another process was first
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
