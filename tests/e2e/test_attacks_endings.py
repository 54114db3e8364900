"""What ends a login or a key ends it everywhere, at the gateway and behind it, on the running platform."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.attackers import PASSWORD, Person, World

SOON = 5.0
"""Seconds within which a revocation is in force everywhere."""
AT_ONCE = 50


def refusals(person: Person, key: str) -> list[int]:
    """What the gateway and each service say to the token and to the key, and auth-service to the refresh token."""
    client, answers = person.client, []
    for bearer in (person.bearer, {"authorization": f"Bearer {key}"}):
        answers += [
            client.get("/api/auth/me", headers=bearer),
            client.get("/v1/models", headers=bearer),
            client.get("/api/chat/conversations", headers=bearer),
            client.post("/api/chat/messages", json={"content": "still here"}, headers=bearer),
        ]
    return [answer.status_code for answer in answers]


def assert_soon(holds: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < SOON, "five seconds are over"
        time.sleep(0.05)


def disable(world: World, person: Person) -> None:
    assert world.owner("PATCH", f"/api/auth/users/{person.id}", {"disabled": True}).status_code == 200


def delete(world: World, person: Person) -> None:
    assert world.owner("DELETE", f"/api/auth/users/{person.id}").status_code == 204


@pytest.mark.parametrize("act", [disable, delete])
def test_who_is_disabled_or_deleted_is_refused_everywhere(
    attacked_shapes: World, act: Callable[[World, Person], None]
) -> None:
    person = attacked_shapes.person()
    key = person.has_key()["key"]
    assert refusals(person, key) == [200] * 8
    act(attacked_shapes, person)
    assert person.refresh().status_code == 400
    assert_soon(lambda: refusals(person, key) == [401] * 8)
    login = {"username": person.username, "password": PASSWORD}
    assert person.client.post("/api/auth/token", json=login).status_code == 401


def test_who_is_demoted_keeps_nothing_of_before(attacked_shapes: World) -> None:
    """Their old token ends; a new one, and their key, are a viewer's."""
    person = attacked_shapes.person("admin")
    key = {"authorization": f"Bearer {person.has_key(scopes=['admin', 'llm:read', 'llm:invoke'])['key']}"}
    assert person("GET", "/api/auth/users", headers=key).status_code == 200
    member = f"/api/auth/organizations/{person.organization_id}/members/{person.id}"
    assert attacked_shapes.owner("PATCH", member, {"role": "viewer"}).status_code == 200
    home = f"/api/auth/organizations/{person.organization_id}"
    assert person("PATCH", home, {"name": "mine"}).status_code in (401, 403), "writes look at the role at once"
    assert_soon(lambda: person("GET", "/v1/models").status_code == 401)
    assert_soon(lambda: person("GET", "/api/auth/users", headers=key).status_code == 403)
    assert_soon(lambda: person("POST", "/v1/chat/completions", {}, headers=key).status_code == 403)  # 401 till then
    renewed = person.refresh().json()
    assert sorted(renewed["scope"].split()) == ["chat:read", "llm:read", "usage:read"]


def test_a_logout_ends_the_session_and_nothing_else(attacked_shapes: World) -> None:
    person = attacked_shapes.person()
    other = Person(person.client, person.username, organization_id=person.organization_id).log_in()
    assert person("POST", "/api/auth/logout").status_code == 204
    assert person.refresh().json()["error"] == "invalid_grant"
    paths = ("/api/auth/me", "/v1/models", "/api/chat/conversations")
    assert_soon(lambda: {person("GET", path).status_code for path in paths} == {401})
    assert {other("GET", path).status_code for path in paths} == {200}
    assert other.refresh().status_code == 200
    assert other("DELETE", "/api/auth/sessions").status_code == 204
    assert_soon(lambda: {other("GET", path).status_code for path in paths} == {401})


def test_fifty_at_once_with_one_refresh_token_get_one_successor(attacked_shapes: World) -> None:
    person = attacked_shapes.person()
    form = {"grant_type": "refresh_token", "refresh_token": person.token["refresh_token"]}

    async def race() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=attacked_shapes.url, trust_env=False, timeout=30) as client:
            return await asyncio.gather(*(client.post("/api/auth/token", data=form) for _ in range(AT_ONCE)))

    answers = asyncio.run(race())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert families(attacked_shapes, person) == [(2, False)], "the token and its successor, in one family that lives"
    assert person.refresh(answers[0].json()["refresh_token"]).status_code == 200


def families(world: World, person: Person) -> list[Any]:
    """How many refresh tokens each of the person's logins has had, and whether it was ended."""
    return world.sql(
        "SELECT count(*), s.revoked_at IS NOT NULL FROM auth.sessions s JOIN auth.refresh_tokens t"
        " ON t.session_id = s.id WHERE s.user_id = $1 GROUP BY s.id",
        person.id,
    )


def test_a_stolen_refresh_token_ends_the_family_after_its_grace(attacked_shapes: World) -> None:
    """Thief and owner lose it alike; ten seconds pass by moving the time of its use."""
    person = attacked_shapes.person()
    stolen = person.token["refresh_token"]
    owners = person.refresh().json()
    assert person.refresh(stolen).json()["refresh_token"] == owners["refresh_token"], "in the grace"
    attacked_shapes.sql(
        "UPDATE auth.refresh_tokens t SET used_at = used_at - interval '11 seconds' FROM auth.sessions s"
        " WHERE t.session_id = s.id AND s.user_id = $1 AND t.used_at IS NOT NULL",
        person.id,
    )
    assert person.refresh(stolen).json()["error"] == "invalid_grant"
    assert person.refresh(owners["refresh_token"]).json()["error"] == "invalid_grant"
    bearer = {"authorization": f"Bearer {owners['access_token']}"}
    assert_soon(lambda: person("GET", "/v1/models", headers=bearer).status_code == 401)
    assert families(attacked_shapes, person) == [(2, True)]


def asking(model: str = "gpt-4o") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


def sdk(world: World, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{world.url}/v1", api_key=key, max_retries=0)


def test_the_official_sdk_works_with_a_key_until_it_is_revoked(attacked_shapes: World) -> None:
    """While eight clients use it, whole and streamed: then each of them is refused, and none before."""
    person = attacked_shapes.person()
    key = person.has_key()
    revoked = time.monotonic() + 3600

    def use(streamed: bool) -> tuple[int, float]:
        done = 0
        with sdk(attacked_shapes, key["key"]) as client:
            while True:
                started = time.monotonic()
                try:
                    if streamed:
                        assert list(client.chat.completions.create(**asking(), stream=True))
                    else:
                        assert client.chat.completions.create(**asking()).choices[0].message.content
                except openai.AuthenticationError:
                    assert started > revoked - 1
                    return done, time.monotonic() - revoked
                done += 1
                assert time.monotonic() - revoked < SOON, "five seconds are over"

    with ThreadPoolExecutor(8) as pool:
        uses = [pool.submit(use, number % 2 == 0) for number in range(8)]
        while person("GET", f"/api/auth/api-keys/{key['id']}").json()["last_used_at"] is None:
            assert not any(each.done() for each in uses)
        revoked = time.monotonic()
        assert person("DELETE", f"/api/auth/api-keys/{key['id']}").status_code == 204
        figures = [each.result(30) for each in uses]
    assert all(seconds < SOON for _, seconds in figures)


def test_a_key_for_some_models_gets_no_other(attacked: World) -> None:
    """Nor by another name of theirs, nor as a fallback."""
    key = attacked.person().has_key(allowed_models=["gpt-4o-mini"])["key"]
    with sdk(attacked, key) as client:
        assert client.chat.completions.create(**asking("gpt-4o-mini")).choices
        assert {model.id for model in client.models.list()} == {"gpt-4o-mini"}
        for model in ("gpt-4o", "GPT-4O-MINI", "gpt-4o-mini ", "echo/gpt-4o", "openai/gpt-4o", "auto/gpt-4o"):
            with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError, openai.BadRequestError)):
                client.chat.completions.create(**asking(model))
        with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError)):
            client.models.retrieve("gpt-4o")
    bearer = {"authorization": f"Bearer {key}"}
    body = {"content": "hi", "model": "gpt-4o"}
    told = attacked.client.post("/api/chat/messages", json=body, headers=bearer)
    assert told.status_code in (403, 404), told.text


def test_x_api_key_counts_where_anthropics_clients_ask_and_nowhere_else(attacked: World) -> None:
    key = attacked.person().has_key()["key"]
    given = {"x-api-key": key}
    assert attacked.client.post("/v1/messages", json={}, headers=given).status_code == 400, "let in: {} is no request"
    assert attacked.client.post("/v1/messages", json={}, headers={"x-api-key": key[:-1]}).status_code == 401
    assert attacked.client.get("/v1/models", headers=given).status_code == 200
    for path in (
        "/v1/embeddings",
        "/v1/modelsx",
        "/api/auth/me",
        "/api/chat/conversations",
        "/v1/messagesx",
        "/v1/messages/../embeddings",
    ):
        assert attacked.client.get(path, headers=given).status_code == 401, path
    two = given | {"authorization": f"Bearer {attacked.owner.token['access_token']}"}
    assert attacked.client.post("/v1/messages", json={}, headers=two).status_code == 400
