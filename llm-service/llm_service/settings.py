"""What llm-service reads from the environment, once."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    llm_config: Path = Field(Path("config/llm.yaml"), description="providers, models and routes")

    def weaknesses(self) -> list[str]:
        """No table is llm-service's, so it needs no database."""
        return self.weak_secret_key()


def environment() -> Mapping[str, str]:
    """What `${NAME}` in the configuration file may stand for: `.env`, overlaid by the process's environment."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value}
    return {**from_file, **os.environ}
