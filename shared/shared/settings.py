"""The environment that every service reads; each service adds its own in its `settings.py`."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.http.calls import HttpTransport
from shared.networks import Networks
from shared.secrets import kept_secret, stored_secret

PLACEHOLDERS = re.compile(
    r"changeme|change|replace|placeholder|example|default|insert|secret|password|passwd|synapscale|postgres|admin"
    r"|development|production|random|generate|strong|string|value|token|your|here|this|long|test|qwerty|letmein"
    r"|characters?|bytes|0?12345(?:6789|678|67|6)?0?|abcdef(?:gh)?|please"
    r"|key|not|with|for|the|and|xxx+|\W|_"
)
"""Words of passwords that people write in place of one."""
SHORTEST_SECRET = 32
SERVICES = ("auth", "llm", "chat")
"""Behind the gateway; each has an address below, where it is a process of its own."""


class ServiceSettings(BaseSettings):
    """Read once, when a service is assembled; `.env` in the working directory counts as environment."""

    model_config = SettingsConfigDict(
        env_prefix="SYNAPSCALE_",
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,  # a traceback must not show the secrets beside the mistake
    )

    env: Literal["development", "production"] = Field("development", description="production refuses weak secrets")
    data_dir: Path = Field(Path(".synapscale"), description="embedded PostgreSQL, generated secrets")
    database_url: str | None = Field(None, description="PostgreSQL 15+; unset: the launcher's embedded one")
    secret_key: str | None = Field(None, description="root of all derived keys; generated in development")
    public_url: str = Field("http://localhost:8000", description="how clients reach the gateway; the `iss` of tokens")
    auth_url: str | None = Field(None, description="address of auth-service; unset: same process")
    llm_url: str | None = Field(None, description="address of llm-service; unset: same process")
    chat_url: str | None = Field(None, description="address of chat-service; unset: same process")
    http_transport: HttpTransport = Field(
        "asyncio", description="what carries calls to services and providers; httpx2: its own connections"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("database_url")
    @classmethod
    def _use_asyncpg(cls, url: str | None) -> str | None:
        """Accepts the `postgres://` and `postgresql://` that other tools print."""
        if url is None:
            return None
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
            raise ValueError("must be a PostgreSQL address: postgresql://user:password@host:5432/name")
        return f"postgresql+asyncpg://{rest}"

    @model_validator(mode="after")
    def _production_has_real_secrets(self) -> Self:
        if self.env == "production" and (problems := list(self.weaknesses())):
            raise ValueError("production refuses to start: " + "; ".join(problems))
        return self

    def weaknesses(self) -> list[str]:
        """What production would refuse, each with the name of the variable to mend."""
        problems = []
        if self.database_url is None:
            problems.append("SYNAPSCALE_DATABASE_URL is missing")
        elif is_weak(_password_in(self.database_url), shortest=12):
            problems.append("SYNAPSCALE_DATABASE_URL has a weak or default password")
        return [*problems, *self.weak_secret_key()]

    def weak_secret_key(self) -> list[str]:
        """The one weakness of a service without a database: its service key is derived from the secret."""
        if not is_weak(self.given_or_kept("secret_key"), shortest=SHORTEST_SECRET):
            return []
        return [
            f"SYNAPSCALE_SECRET_KEY is missing, default or shorter than {SHORTEST_SECRET} characters "
            '(make one: python -c "import secrets; print(secrets.token_urlsafe(48))")'
        ]

    def given_or_kept(self, name: str) -> str | None:
        """The secret of that name from the environment, or else from its file in the data directory."""
        given: str | None = getattr(self, name)
        return given or kept_secret(self.data_dir, name)

    def root_secret(self) -> str:
        """What is set, or what development generated in the data directory (and generates here if it has not yet)."""
        return self.secret_key or stored_secret(self.data_dir, "secret_key")


class WatchedSettings(ServiceSettings):
    """Of a service that has `/metrics`."""

    metrics_from: str = Field(
        "127.0.0.0/8,::1", description="networks that may read /metrics, comma separated, or `none`"
    )

    @field_validator("metrics_from")
    @classmethod
    def _are_networks(cls, listed: str) -> str:
        listed = "" if listed.strip().lower() == "none" else listed
        Networks(listed)
        return listed


def _password_in(url: str) -> str | None:
    from sqlalchemy import make_url  # not above: a service without a database would pay 20 MB for it

    return make_url(url).password


def is_weak(secret: str | None, *, shortest: int) -> bool:
    """Missing, too short, of fewer than five different characters, or short once its everyday words are taken out."""
    if secret is None or len(secret) < shortest:
        return True
    rest = PLACEHOLDERS.sub("", secret.lower())
    return len(rest) < shortest / 2 or len(set(rest)) < 5
