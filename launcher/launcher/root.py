"""SynapScale's own folder, which every command runs in."""

import os
import sys
from pathlib import Path

from launcher.errors import CannotStart


def make_migrations_importable() -> None:
    """They are no installed package. Raises CannotStart where this is not SynapScale's folder."""
    if not Path("migrations", "env.py").exists():
        raise CannotStart("There is no folder migrations/ here. Run this in SynapScale's own folder.")
    sys.path.append(os.getcwd())
