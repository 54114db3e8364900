"""What the gateway reads from the environment."""

from pydantic import Field

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """The gateway's own, beside what every service reads."""

    cors_origins: str = Field("", description="origins that browsers may call from, comma separated; * for any")
    max_body_bytes: int = Field(20 * 1024 * 1024, ge=1, description="the largest request body that is taken")
    upstream_timeout: float = Field(300, gt=0, description="seconds that a service may be silent")

    @property
    def allowed_origins(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    def weaknesses(self) -> list[str]:
        """The gateway has no database."""
        return self.weak_secret_key()
