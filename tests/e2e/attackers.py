"""Two organizations on one running platform, and people in them who try what they should not."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
from sqlalchemy import make_url

from shared.ids import uuid7_hex
from tests.e2e.platforms import Platform, platform

PASSWORD = "correct horse battery staple"
UNLIMITED = {f"SYNAPSCALE_RATE_LIMIT_{whose}PER_MINUTE": "0" for whose in ("", "ANONYMOUS_", "LOGIN_")}
_numbers = itertools.count(1)


class Person:
    """Somebody with a login; `answer` of it is kept as `token`."""

    def __init__(self, client: httpx2.Client, username: str, *, organization_id: str, password: str = PASSWORD) -> None:
        self.client = client
        self.username = username
        self.password = password
        self.organization_id = organization_id
        self.token: dict[str, Any] = {}
        self.id = ""

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token['access_token']}"}

    def log_in(self, **fields: Any) -> "Person":
        who = {"username": self.username, "password": self.password, "organization_id": self.organization_id}
        answer = self.client.post("/api/auth/token", json=who | fields)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()
        self.id = self("GET", "/api/auth/me").json()["id"]
        return self

    def refresh(self, token: str | None = None) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token or self.token["refresh_token"]}
        return self.client.post("/api/auth/token", data=form)

    def __call__(self, method: str, path: str, body: Any = None, **request: Any) -> httpx2.Response:
        """With a login of this person's, unless `headers` say otherwise."""
        given = {"headers": self.bearer} | ({} if body is None else {"json": body}) | request
        return self.client.request(method, path, **given)

    def made(self, path: str, body: Any) -> dict[str, Any]:
        answer = self("POST", path, body)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    def has_key(self, **fields: Any) -> dict[str, Any]:
        return self.made("/api/auth/api-keys", {"name": "attacks", **fields})


class World:
    """The platform, its database, an administrator's organization and another one."""

    def __init__(
        self, started: Platform, *, client: httpx2.Client, database_url: str, admin_password: str, secret_key: str
    ) -> None:
        self.platform = started
        self.client = client
        self.url = started.url
        self.secret_key = secret_key
        self._database_url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        root = {"username": "admin", "password": admin_password}
        token = client.post("/api/auth/token", json=root).json()["access_token"]
        me = client.get("/api/auth/me", headers={"authorization": f"Bearer {token}"}).json()
        home = me["organization"]["id"]
        self.owner = Person(client, "admin", organization_id=home, password=admin_password).log_in()
        rivals = self.owner.made("/api/auth/organizations", {"name": "rivals"})["id"]
        self.rival_owner = Person(self.client, "admin", organization_id=rivals, password=admin_password).log_in()

    def person(self, role: str = "member", *, of: Person | None = None) -> Person:
        """A new one, in the organization of that administrator."""
        chief = of or self.owner
        name = f"person{next(_numbers)}"
        chief.made("/api/auth/users", {"username": name, "password": PASSWORD, "role": role})
        return Person(self.client, name, organization_id=chief.organization_id).log_in()

    def rival(self, role: str = "member") -> Person:
        return self.person(role, of=self.rival_owner)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Its rows, read or written behind the platform's back."""

        async def fetched() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self._database_url)
            try:
                return [tuple(row) for row in await connection.fetch(statement, *values)]
            finally:
                await connection.close()

        return asyncio.run(fetched())

    def log(self) -> str:
        assert self.platform.log is not None
        return self.platform.log.read_bytes().decode()

    def log_until(self, words: str) -> str:
        """Once it has the words: a line is written after the answer is sent."""
        deadline = time.monotonic() + 5
        while words not in (log := self.log()):
            assert time.monotonic() < deadline, f"{words} is not in the log"
            time.sleep(0.02)
        return log


@contextmanager
def world(*arguments: str, database_url: str, directory: Path, **environment: str) -> Iterator[World]:
    """Without limits of requests: attackers are many, and the tests count other things."""
    data_dir = directory / f"data{uuid7_hex()[-6:]}"
    given = {"SYNAPSCALE_DATABASE_URL": database_url, **UNLIMITED, **environment}
    with (
        platform(*arguments, data_dir=data_dir, environment=given) as started,
        httpx2.Client(base_url=started.url, trust_env=False, timeout=20) as client,
    ):
        password, secret = ((data_dir / name).read_text().strip() for name in ("admin_password", "secret_key"))
        yield World(started, client=client, database_url=database_url, admin_password=password, secret_key=secret)


def told(answer: httpx2.Response, *unlike: str) -> tuple[int, str]:
    """What an answer tells, without what differs from request to request; `unlike` are the ids that were asked for."""
    body = answer.text
    for each in (answer.headers["x-request-id"], *unlike):
        body = body.replace(each, "…")
    return answer.status_code, body
