"""What the launcher reads from the environment, beside what it passes on to every service."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """`--host` and `--port` win over the environment."""

    host: str = Field("127.0.0.1", description="address that the gateway listens on; 0.0.0.0 is every interface")
    port: int = Field(8000, ge=1, le=65535, description="port that the gateway listens on")


class SecretSettings(BaseSettings):
    """What secrets are given, also where production would refuse the others: to be read before they are made."""

    model_config = ServiceSettings.model_config

    data_dir: Path = Path(".synapscale")
    secret_key: str | None = Field(None, repr=False)
    admin_password: str | None = Field(None, repr=False)
