"""One history for all services; each has a PostgreSQL schema of its own."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
