"""Strings that want to be SQL, a line of the log, or somebody else: they stay strings."""

import base64
import json
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from shared.auth.api_keys import new_api_key
from tests.e2e.attackers import PASSWORD, Person, World

SQL = [
    "' OR '1'='1",
    "'; DROP TABLE auth.users; --",
    "admin'--",
    "' UNION SELECT password_hash FROM auth.users --",
    "\\'; SELECT pg_sleep(30); --",
    "$$; DROP SCHEMA auth CASCADE; $$",
    "%' AND 1=CAST((SELECT version()) AS int) --",
    "%s %(id)s :id $1 {id}",
    "1; COPY auth.users TO PROGRAM 'id'",
]


@pytest.fixture(scope="module")
def admin(attacked: World) -> Person:
    admin = attacked.person("admin")
    admin.has_key()
    admin.made("/api/chat/messages", {"content": "hello"})
    return admin


def cursor(*parts: str) -> str:
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def jwt_of(kid: str) -> str:
    parts = ({"alg": "ES256", "typ": "at+jwt", "kid": kid}, {"sub": kid, "org": kid, "sid": kid, "iss": kid})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def places(payload: str, admin: Person) -> list[tuple[str, str, dict[str, Any]]]:
    """Every string of a request that reaches SQL, or that somebody could let reach it."""
    own, quoted = admin.bearer, quote(payload, safe="")
    lists = ("users", "organizations", "api-keys", "sessions", "service-accounts", "audit-events")
    home = f"/api/auth/organizations/{admin.organization_id}"
    ids = [f"/api/auth/{noun}/{quoted}" for noun in ("users", "organizations", "api-keys", "service-accounts")] + [
        f"/api/chat/conversations/{quoted}",
        f"/api/chat/conversations/{quoted}/messages",
        f"/api/chat/messages/{quoted}",
    ]
    cursors = [f"/api/auth/{noun}" for noun in lists] + [
        f"{home}/members",
        f"{home}/invitations",
        "/api/chat/conversations",
    ]
    found: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/auth/token", {"json": {"username": payload, "password": payload}}),
        ("POST", "/api/auth/token", {"data": {"grant_type": "refresh_token", "refresh_token": payload}}),
        ("POST", "/api/auth/token", {"data": {"grant_type": "refresh_token", "refresh_token": f"rt-syn-{payload}"}}),
        (
            "POST",
            "/api/auth/token",
            {"json": {"username": admin.username, "password": PASSWORD, "organization_id": payload}},
        ),
        ("POST", "/api/auth/token", {"json": {"username": admin.username, "password": PASSWORD, "scope": payload}}),
        ("POST", "/api/auth/token", {"json": {"username": admin.username, "password": PASSWORD, "client_id": payload}}),
        ("POST", "/api/auth/revoke", {"data": {"token": payload}}),
        ("POST", "/api/auth/revoke", {"data": {"token": jwt_of(payload)}}),
        ("POST", "/api/auth/register", {"json": {"username": payload, "password": PASSWORD, "invitation": payload}}),
        *[("GET", path, {"headers": own}) for path in ids],
        *[("DELETE", path, {"headers": own}) for path in ids[:4]],
        *[
            ("GET", path, {"headers": own, "params": {"cursor": given}})
            for path in cursors
            for given in (payload, cursor(payload), cursor(payload, payload))
        ],
        *[
            ("GET", "/api/auth/audit-events", {"headers": own, "params": {name: payload}})
            for name in ("action", "actor", "target", "result", "from", "to", "limit", "order_by")
        ],
        ("GET", "/api/auth/api-keys", {"headers": own, "params": {"user_id": payload}}),
        ("POST", "/api/auth/api-keys", {"headers": own, "json": {"name": payload, "scopes": [payload]}}),
        ("POST", "/api/auth/api-keys", {"headers": own, "json": {"name": payload, "user_id": payload}}),
        ("POST", "/api/auth/users", {"headers": own, "json": {"username": payload, "password": PASSWORD}}),
        ("POST", f"{home}/members", {"headers": own, "json": {"username": payload, "role": payload}}),
        ("PATCH", "/api/auth/me", {"headers": own, "json": {"display_name": payload}}),
        ("POST", "/api/chat/messages", {"headers": own, "json": {"content": payload, "conversation_id": payload}}),
        ("POST", "/api/chat/messages", {"headers": own, "json": {"content": payload, "model": payload}}),
        ("POST", "/api/chat/messages", {"headers": own, "json": {"content": payload, "parent_id": payload}}),
        ("POST", "/api/chat/messages", {"headers": own | {"idempotency-key": payload}, "json": {"content": "x"}}),
        ("POST", "/api/auth/api-keys", {"headers": own | {"idempotency-key": f'"{payload}"'}, "json": {"name": "x"}}),
        *[
            ("GET", path, {"headers": {header: value}})
            for path in ("/api/auth/me", "/v1/models")
            for header, value in (
                ("authorization", payload),
                ("authorization", f"Bearer {payload}"),
                ("authorization", f"Bearer sk-syn-{payload}"),
                ("authorization", f"Bearer {new_api_key()[:-4]}{payload}"),
                ("authorization", f"Bearer {jwt_of(payload)}"),
            )
        ],
        ("POST", "/v1/messages", {"headers": {"x-api-key": payload}, "json": {}}),
        ("GET", "/api/auth/me", {"headers": own | {"user-agent": payload, "x-forwarded-for": payload}}),
        ("GET", "/api/auth/me", {"headers": own | {"x-request-id": payload, "traceparent": payload}}),
    ]
    return found


def counts(world: World) -> list[Any]:
    tables = world.sql("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('auth', 'chat')")
    return [sorted(tables), world.sql("SELECT id, username, password_hash FROM auth.users ORDER BY id")]


@pytest.mark.parametrize("payload", SQL)
def test_sql_in_a_string_is_a_string(attacked: World, admin: Person, payload: str) -> None:
    """It is refused or stored as it is; nothing fails, waits, or finds what it should not."""
    before = counts(attacked)
    for method, path, request in places(payload, admin):
        answer = attacked.client.request(method, path, **request)
        assert answer.status_code < 500, f"{method} {path} {request}: {answer.text}"
        assert answer.elapsed.total_seconds() < 10
        if method == "GET" and answer.status_code == 200 and path.endswith(("/api-keys", "/audit-events")):
            wanted = request.get("params", {})
            assert answer.json()["data"] == [] or wanted.keys() & {"cursor"}, f"{path} {wanted} found something"
        if request.get("headers", {}).get("authorization", "") != admin.bearer["authorization"]:
            assert answer.status_code >= 400 or path in ("/api/auth/revoke", "/api/auth/token"), answer.text
            assert "access_token" not in answer.text or path == "/api/auth/token"
    assert counts(attacked) == before


@pytest.mark.parametrize("payload", SQL)
def test_sql_is_no_way_to_log_in(attacked: World, payload: str) -> None:
    for username, password in ((payload, payload), ("admin", payload), (f"admin{payload}", PASSWORD)):
        answer = attacked.client.post("/api/auth/token", json={"username": username, "password": password})
        assert answer.status_code in (401, 429), answer.text
    attacked.sql("DELETE FROM auth.login_throttles")


FORGED = '{"level": "info", "event": "forged", "logger": "access"}'
LINES = [
    f"x\n{FORGED}\n",
    f"x\r\n{FORGED}",
    f"x\r{FORGED}",
    f"x\u2028{FORGED}",
    f"x\u0085{FORGED}",
    f'", "event": "forged", "x": "{FORGED}',
    f"\x1b[2K\x1b[1G{FORGED}",
    f"\x9b2J{FORGED}",
    f"\u202e{FORGED}",
]


def raw(world: World, request: bytes) -> bytes:
    where = urlsplit(world.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_no_client_writes_a_line_of_the_log(attacked: World, line: str) -> None:
    """Whatever carries it; a reader of the log may split it at any of Unicode's line ends."""
    member, begun = attacked.owner, len(attacked.log())
    for method, path, request in (
        ("POST", "/api/auth/token", {"json": {"username": line, "password": line}}),
        ("GET", "/api/auth/me", {"headers": member.bearer, "params": {"q": line}}),
        ("GET", f"/api/auth/users/{quote(line, safe='')}", {"headers": member.bearer}),
        ("GET", f"/{quote(line, safe='')}", {}),
        ("POST", "/api/chat/messages", {"headers": member.bearer, "json": {"content": line, "model": line}}),
        (
            "POST",
            "/v1/chat/completions",
            {"headers": member.bearer, "json": {"model": line, "messages": [{"role": "user", "content": line}]}},
        ),
    ):
        attacked.client.request(method, path, **request)
    for name in (
        b"user-agent",
        b"x-request-id",
        b"x-forwarded-for",
        b"authorization",
        b"traceparent",
        b"idempotency-key",
    ):
        said = line.encode()
        raw(
            attacked,
            b"GET /api/auth/me HTTP/1.1\r\nhost: gateway\r\n" + name + b": " + said + b"\r\nconnection: close\r\n\r\n",
        )
    raw(attacked, b"GET /" + line.encode() + b" HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
    raw(attacked, line.encode() + b" / HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
    marker = f"marker-{LINES.index(line)}"
    attacked.client.get("/api/llm/models", headers=member.bearer | {"x-request-id": marker})
    log = attacked.log_until(marker)[begun:]
    lines = [json.loads(each) for each in log.splitlines() if each.strip()]
    assert not any(each.get("event") == "forged" for each in lines)
    assert not any(ord(character) < 32 or 126 < ord(character) < 160 for character in log.replace("\n", ""))
