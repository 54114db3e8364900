"""What the gateway reads from the environment."""

from pydantic import Field, field_validator

from api_gateway.rate_limit import HIGHEST
from shared.networks import Networks
from shared.settings import WatchedSettings


class Settings(WatchedSettings):
    """The gateway's own, beside what every service reads."""

    cors_origins: str = Field("", description="origins that browsers may call from, comma separated; * for any")
    max_body_bytes: int = Field(20 * 1024 * 1024, ge=1, description="the largest request body that is taken")
    upstream_timeout: float = Field(300, gt=0, description="seconds that a service may be silent")
    redis_url: str | None = Field(None, description="Redis or Valkey that the gateways count in; unset: each by itself")
    rate_limit_per_minute: int = Field(600, ge=0, le=HIGHEST, description="requests of a user; 0: no limit")
    rate_limit_anonymous_per_minute: int = Field(
        300, ge=0, le=HIGHEST, description="requests of an address without a credential that holds; 0: no limit"
    )
    rate_limit_login_per_minute: int = Field(
        60, ge=0, le=HIGHEST, description="logins and registrations of an address; 0: no limit"
    )
    trusted_proxies: str = Field("", description="networks whose X-Forwarded-For is believed, comma separated")

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a Redis address: redis://user:password@host:6379/0")
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _trusts_networks(cls, listed: str) -> str:
        listed = "" if listed.strip().lower() == "none" else listed
        Networks(listed)
        return listed

    @property
    def allowed_origins(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    def weaknesses(self) -> list[str]:
        """The gateway has no database."""
        return self.weak_secret_key()
