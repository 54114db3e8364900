"""What llm-service reads from the environment, once."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, field_validator

from shared.settings import WatchedSettings


class Settings(WatchedSettings):
    """Completions go on without the database; what they use waits in `spill_dir`."""

    llm_config: Path = Field(Path("config/llm.yaml"), description="providers, models and routes")
    redis_url: str | None = Field(None, description="Redis or Valkey that keeps answers; unset: each replica's memory")

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a Redis address: redis://user:password@host:6379/0")
        return url

    llm_spill_dir: Path | None = Field(
        None, description="where the ledger waits on disk while the database is away; unset: `ledger` in the data dir"
    )
    llm_lease_seconds: float = Field(
        60, ge=0.5, le=3600, description="what a request has reserved is charged if its replica is silent for so long"
    )

    @property
    def spill_dir(self) -> Path:
        return self.llm_spill_dir or self.data_dir / "ledger"


def environment() -> Mapping[str, str]:
    """What `${NAME}` in the configuration file may stand for: `.env`, overlaid by the process's environment."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value}
    return {**from_file, **os.environ}
