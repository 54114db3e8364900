"""`GET /api/llm/usage` and `GET /api/llm/requests`: sums and single rows, for those who may see them."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import requests
from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.openai import OpenAISimulator
from tests.tokens import WHOLE_RUN, bearer

CHAT = SURFACES[0]
ADMIN = bearer(scopes="usage:read admin", user_id="usr_admin", exp=WHOLE_RUN)
USAGE, REQUESTS = "/api/llm/usage", "/api/llm/requests"


async def ask(llm: httpx2.AsyncClient, *, times: int = 1, model: str = "gpt-4o", **token: Any) -> None:
    for _ in range(times):
        answer = await llm.post(CHAT, json=asking(model=model), headers=bearer(**token))
        assert answer.status_code == 200


async def written(database_url: str, count: int) -> None:
    async def there() -> bool:
        return len(await requests(database_url)) == count

    await eventually(there, what="the ledger has the rows", within=5)


async def data(
    llm: httpx2.AsyncClient, path: str, *, headers: dict[str, str] = ADMIN, since: str | None = None, **query: Any
) -> list[Any]:
    given = query | ({"from": since} if since else {})
    answer = await llm.get(path, params=given, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["data"]
    return found


async def test_usage_is_summed_by_what_is_asked_for(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        providers = {"openai": row(sim, models=("gpt-4o", "gpt-4o-mini"))}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            await ask(llm, times=3, user_id="usr_a", sid="key_a")
            await ask(llm, times=2, user_id="usr_b", model="gpt-4o-mini")
            await written(database_url, 5)
            by_user = await data(llm, USAGE, group_by="user,key")
            by_model = await data(llm, USAGE, group_by="day,model,provider")
            by_hour = await data(llm, USAGE, group_by="hour", since=_ago(hours=2))
            narrowed = await data(llm, USAGE, group_by="model", user="usr_b", model="gpt-4o-mini")
    assert [(one["user_id"], one["key_id"], one["requests"]) for one in by_user] == [
        ("usr_a", "key_a", 3),
        ("usr_b", "", 2),
    ]
    assert [(one["model"], one["provider"], one["requests"]) for one in by_model] == [
        ("gpt-4o", "openai", 3),
        ("gpt-4o-mini", "openai", 2),
    ]
    assert "model" not in by_user[0]
    assert by_model[0]["starts_at"].startswith(datetime.now(UTC).date().isoformat())
    assert sum(one["requests"] for one in by_hour) == 5
    assert [one["requests"] for one in narrowed] == [2]
    total = sum(one["cost_usd"] for one in await requests(database_url))
    assert sum(Decimal(one["cost_usd"]) for one in by_user) == total


def _ago(**time: int) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


@pytest.mark.parametrize("how", ["accept", "format"])
async def test_usage_comes_as_csv(how: str, database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        await ask(llm)
        await written(database_url, 1)
        query = {"group_by": "day,model"} | ({"format": "csv"} if how == "format" else {})
        headers = ADMIN | ({"accept": "text/csv"} if how == "accept" else {})
        answer = await llm.get(USAGE, params=query, headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    (one,) = csv.DictReader(io.StringIO(answer.text))
    assert (one["model"], one["requests"]) == ("gpt-4o", "1")
    assert list(one)[:2] == ["starts_at", "model"]


async def test_nobody_sees_another_s_usage_and_admins_only_their_organization_s(
    database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        await ask(llm, user_id="usr_a")
        await ask(llm, user_id="usr_b")
        await ask(llm, user_id="usr_c", organization_id="org_other")
        await written(database_url, 3)
        mine, foreign = (
            bearer(user_id="usr_a"),
            bearer(user_id="usr_x", organization_id="org_other", scopes="usage:read"),
        )
        assert [one["requests"] for one in await data(llm, USAGE)] == [2]
        assert [one["requests"] for one in await data(llm, USAGE, headers=mine)] == [1]
        assert await data(llm, USAGE, headers=mine, user="usr_b") == []
        assert await data(llm, USAGE, headers=foreign) == []
        seen = await data(llm, REQUESTS)
        assert {one["user_id"] for one in seen} == {"usr_a", "usr_b"}
        assert [one["user_id"] for one in await data(llm, REQUESTS, headers=mine)] == ["usr_a"]
        assert await data(llm, REQUESTS, headers=mine, user="usr_b") == []
        other = next(one["id"] for one in seen if one["user_id"] == "usr_b")
        for headers in (mine, foreign, bearer(organization_id="org_other", scopes="usage:read admin")):
            refused = await llm.get(f"{REQUESTS}/{other}", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (404, "request_not_found")
        for path in (USAGE, REQUESTS, f"{REQUESTS}/{other}"):
            assert (await llm.get(path, headers=bearer(scopes="llm:read"))).status_code == 403


async def test_a_request_is_shown_with_its_attempts(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        answer = await llm.post(CHAT, json=asking(), headers={"x-request-id": "mine-7"})
        await written(database_url, 1)
        shown = (await llm.get(f"{REQUESTS}/{answer.headers['x-synapscale-ledger-id']}", headers=ADMIN)).json()
        (listed,) = await data(llm, REQUESTS, request_id="mine-7")
    (attempt,) = shown.pop("attempts")
    assert shown == listed
    assert (attempt["result"], attempt["provider"], attempt["key"]) == ("completed", "openai", "openai-1")
    assert Decimal(shown["cost_usd"]) == Decimal(answer.headers["x-synapscale-cost-usd"])
    assert shown["usage"]["total_tokens"] == answer.json()["usage"]["total_tokens"]


async def test_requests_are_paged_newest_first(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        await asyncio.gather(*(ask(llm) for _ in range(7)))
        await written(database_url, 7)
        ids, cursor = [], None
        while True:
            query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await llm.get(REQUESTS, params=query, headers=ADMIN)).json()
            ids += [one["id"] for one in page["data"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert await data(llm, REQUESTS, to=_ago(hours=1)) == []
        assert len(await data(llm, REQUESTS, since=_ago(hours=1))) == 7
    assert len(set(ids)) == 7
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        {"group_by": "week"},
        {"group_by": "hour", "from": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"},
        {"from": "yesterday"},
        {"user": "a\0b"},
        {"colour": "blue"},
    ],
)
async def test_what_cannot_be_told_is_refused(query: dict[str, str], database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        assert (await llm.get(USAGE, params=query, headers=ADMIN)).status_code == 422


@pytest.mark.parametrize("path", ["lreq_x", "lreq_" + 32 * "0", "req_" + 32 * "0", "..%00"])
async def test_what_is_no_request_is_not_found(path: str, database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        assert (await llm.get(f"{REQUESTS}/{path}", headers=ADMIN)).status_code == 404


async def test_a_cursor_that_is_not_ours_is_refused(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        assert (await llm.get(REQUESTS, params={"cursor": "AAAA"}, headers=ADMIN)).status_code == 400
