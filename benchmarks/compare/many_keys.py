"""API keys by the hundred thousand, written straight into the database of a running platform."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from benchmarks.compare.endpoint import Endpoint
from launcher.postgres import EmbeddedPostgres
from shared.auth.api_keys import new_api_key

COLUMNS = ("id", "organization_id", "user_id", "name", "key_hash", "last_four", "scopes")


def first_key(endpoint: Endpoint) -> str:
    """Made as anybody makes one; the others are its copies."""
    base = endpoint.url.removesuffix("/v1/chat/completions")
    with httpx2.Client(base_url=base, headers=endpoint.headers, trust_env=False, timeout=30) as client:
        answer = client.post("/api/auth/api-keys", json={"name": "many", "scopes": ["llm:read", "llm:invoke"]})
        return str(answer.raise_for_status().json()["key"])


def add_keys(directory: Path, *, like: str, count: int) -> list[str]:
    """Of the same user, with the same scopes. `directory` is that of the running platform."""
    url = EmbeddedPostgres(directory / "data").start().replace("+asyncpg", "")  # it runs: this tells its address
    keys = [new_api_key() for _ in range(count)]
    asyncio.run(_insert(url, like, keys))
    return keys


async def _insert(url: str, like: str, keys: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT organization_id, user_id, scopes FROM auth.api_keys WHERE key_hash = $1",
            sha256(like.encode()).digest(),
        )
        assert row is not None, "auth-service keeps the SHA-256 of a key"
        await connection.copy_records_to_table(
            "api_keys", schema_name="auth", columns=COLUMNS, records=_rows(row, keys)
        )
        await connection.execute("ANALYZE auth.api_keys")
    finally:
        await connection.close()


def _rows(like: Any, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for key in keys:
        hashed = sha256(key.encode()).digest()
        name = f"key_{secrets.token_hex(16)}"
        yield name, like["organization_id"], like["user_id"], "many", hashed, key[-4:], like["scopes"]
