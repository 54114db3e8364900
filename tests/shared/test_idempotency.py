"""`Idempotency-Key` where what is created is one transaction."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, text, update

from auth_service.idempotency import IdempotencyKey
from auth_service.organizations.models import Organization
from shared.database import Sessions
from shared.idempotency import forgetting
from shared.settings import ServiceSettings
from shared.upstreams import Upstreams
from tests.chat_service.api import eventually
from tests.chat_service.serving import service_process
from tests.serving import served
from tests.shared.creating import SECRET, TAKEN, create_app
from tests.tokens import auth_stub, bearer

PATH = "/api/things"


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Two of them, on real sockets."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            app = create_app(ServiceSettings(_env_file=None, database_url=database_url))
            app.state.upstreams = Upstreams([auth_stub()])
            url = await stack.enter_async_context(served(app))
            client = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10)
            clients.append(await stack.enter_async_context(client))
        yield clients


@pytest.fixture
def things(replicas: list[httpx2.AsyncClient]) -> httpx2.AsyncClient:
    return replicas[0]


async def create(
    things: httpx2.AsyncClient, key: str | None = "key-1", *, name: str = "one", path: str = PATH, **token: Any
) -> httpx2.Response:
    headers = bearer(**token) | ({} if key is None else {"idempotency-key": key})
    return await things.post(path, json={"name": name}, headers=headers)


async def count(sessions: Sessions, table: Any = Organization) -> int:
    async with sessions() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


@asynccontextmanager
async def creation_held_up(sessions: Sessions) -> AsyncIterator[None]:
    """Inside, every creation waits in the middle of its transaction."""
    async with sessions() as session:
        await session.execute(text("LOCK TABLE auth.organizations IN ACCESS EXCLUSIVE MODE"))
        yield
        await session.rollback()


async def is_waiting(sessions: Sessions) -> bool:
    async with sessions() as session:
        return bool(
            await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype='relation'"))
        )


async def test_the_same_key_and_body_get_the_same_answer(things: httpx2.AsyncClient, sessions: Sessions) -> None:
    first, again = await create(things), await create(things)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert await count(sessions) == 1


async def test_without_a_key_every_request_creates_and_nothing_is_kept(
    things: httpx2.AsyncClient, sessions: Sessions
) -> None:
    for _ in range(2):
        assert (await create(things, None)).status_code == 201
    assert await count(sessions) == 2
    assert await count(sessions, IdempotencyKey) == 0


async def test_another_body_is_refused(things: httpx2.AsyncClient, sessions: Sessions) -> None:
    await create(things)
    answer = await create(things, name="two")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await count(sessions) == 1


async def test_another_query_or_parameter_of_the_path_is_another_request(things: httpx2.AsyncClient) -> None:
    await create(things, path=f"{PATH}/a/parts")
    for path in (f"{PATH}/b/parts", f"{PATH}/a/parts?x=1"):
        assert (await create(things, path=path)).json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "usr_other"},
        {"organization_id": "org_other"},
        {"path": f"{PATH}/a/parts"},
        {"key": "KEY-1"},
    ],
)
async def test_the_same_key_of_somebody_else_or_elsewhere_is_another_key(
    things: httpx2.AsyncClient, sessions: Sessions, other: dict[str, str]
) -> None:
    first = await create(things)
    answer = await create(things, **other)
    assert answer.status_code == 201
    assert answer.json()["id"] != first.json()["id"]
    assert await count(sessions) == 2


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "ção", "a\tb", "\x7f"])
async def test_a_malformed_key_is_refused(things: httpx2.AsyncClient, sessions: Sessions, key: str) -> None:
    headers = [*bearer().items(), ("idempotency-key", key.encode())]
    answer = await things.post(PATH, json={"name": "one"}, headers=headers)  # type: ignore[arg-type] # bytes as well
    assert answer.status_code == 400
    assert await count(sessions) == 0


async def test_two_keys_are_refused(things: httpx2.AsyncClient) -> None:
    headers = [*bearer().items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    assert (await things.post(PATH, json={"name": "one"}, headers=headers)).status_code == 400


@pytest.mark.parametrize(
    "key", ["!", "~" * 255, '"quoted"', "a" * 255, "'; DROP TABLE auth.users; --".replace(" ", "+")]
)
async def test_every_visible_character_is_taken(things: httpx2.AsyncClient, key: str) -> None:
    first, again = await create(things, key), await create(things, key)
    assert first.status_code == 201
    assert again.content == first.content


async def test_twenty_at_once_over_two_replicas_create_one(
    replicas: list[httpx2.AsyncClient], sessions: Sessions
) -> None:
    answers = await asyncio.gather(*(create(replicas[number % 2]) for number in range(20)))
    assert await count(sessions) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert all(answer.json()["code"] == "request_running" for answer in answers if answer.status_code == 409)
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers if answer.status_code == 201) == 1
    assert (await create(replicas[1])).headers["idempotency-replayed"] == "true"


async def test_while_the_first_is_running_the_second_is_told_when_to_come_back(
    replicas: list[httpx2.AsyncClient], sessions: Sessions
) -> None:
    async with creation_held_up(sessions):
        first = asyncio.create_task(create(replicas[0]))
        await eventually(lambda: is_waiting(sessions), what="the first is in its transaction")
        second = await create(replicas[1])
        assert (second.status_code, second.json()["code"]) == (409, "request_running")
        assert int(second.headers["retry-after"]) >= 1
    assert (await first).status_code == 201
    assert (await create(replicas[1])).content == (await first).content


async def test_a_refusal_is_not_kept(things: httpx2.AsyncClient, sessions: Sessions) -> None:
    await create(things, None, name=TAKEN)
    assert (await create(things, name=TAKEN)).status_code == 409
    async with sessions.begin() as session:
        await session.execute(update(Organization).values(name="free again"))
    assert (await create(things, name=TAKEN)).status_code == 201


async def test_an_answer_with_a_secret_is_not_kept(things: httpx2.AsyncClient, sessions: Sessions) -> None:
    first = await create(things, path=f"{PATH}/secret")
    assert first.json()["secret"] == SECRET
    again = await create(things, path=f"{PATH}/secret")
    assert (again.status_code, again.json()["code"]) == (409, "already_created")
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert SECRET not in again.text
    async with sessions() as session:
        kept = await session.scalar(text("SELECT string_agg(k::text, '') FROM auth.idempotency_keys k"))
    assert SECRET not in kept
    assert SECRET.encode().hex() not in kept
    assert await count(sessions) == 1


async def grow_older(sessions: Sessions, hours: float) -> None:
    async with sessions.begin() as session:
        older = func.now() - text(f"interval '{hours} hours'")
        await session.execute(update(IdempotencyKey).values(created_at=older))


async def test_after_a_day_the_key_is_free(things: httpx2.AsyncClient, sessions: Sessions) -> None:
    first = await create(things)
    await grow_older(sessions, 23.9)
    assert (await create(things)).json()["id"] == first.json()["id"]
    await grow_older(sessions, 24)
    second = await create(things, name="another body")
    assert second.status_code == 201
    assert (await create(things, name="another body")).content == second.content


async def test_expired_answers_are_deleted_in_small_transactions_and_no_others(
    things: httpx2.AsyncClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.idempotency.expiry.AT_ONCE", 2)
    monkeypatch.setattr("shared.idempotency.expiry.EVERY", 0)
    for number in range(5):
        await create(things, f"old-{number}")
    await grow_older(sessions, 25)
    await create(things, "new")

    async def only_the_new_one_is_left() -> bool:
        return await count(sessions, IdempotencyKey) == 1

    async with forgetting(sessions, IdempotencyKey):
        await eventually(only_the_new_one_is_left, what="the old ones are deleted")
    assert (await create(things, "new")).headers["idempotency-replayed"] == "true"


async def test_a_replica_killed_in_the_middle_leaves_nothing_and_the_retry_creates(
    database_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    """`kill -9` between the creation's first statement and its commit; the lock goes with the connection."""
    async with served(auth_stub().app) as auth_url:
        environment = {"database_url": database_url, "auth_url": auth_url}
        async with (
            service_process("tests.shared.creating", tmp_path, **environment) as doomed,
            creation_held_up(sessions),
        ):
            sending = asyncio.create_task(create(doomed.client))
            await eventually(lambda: is_waiting(sessions), what="the creation is in its transaction")
            assert await doomed.end(signal.SIGKILL) == -signal.SIGKILL
            await asyncio.gather(sending, return_exceptions=True)
        async with service_process("tests.shared.creating", tmp_path, **environment) as successor:

            async def is_created() -> bool:
                return (await create(successor.client)).status_code == 201

            await eventually(is_created, what="the retry creates")
            assert (await create(successor.client)).headers["idempotency-replayed"] == "true"
    assert await count(sessions) == 1
