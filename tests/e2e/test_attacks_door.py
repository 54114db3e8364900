"""The running gateway, over raw sockets: what services say to each other stays inside, and nobody says who they are."""

import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from shared.auth.services import service_authorization
from shared.ids import new_id
from tests.e2e.attackers import World
from tests.e2e.conftest import attacked_shapes as attacked  # noqa: F401 # each shape forwards in its own way


class Answer(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    world: World, target: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = b"host: localhost"
) -> Answer:
    """One request, byte for byte; `status` is 0 where the gateway only closes."""
    where = urlsplit(world.url)
    lines = [method + b" " + target + b" HTTP/1.1", host, *headers, b"connection: close", b"", b""]
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=5) as connection:
        connection.sendall(b"\r\n".join(lines))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]) if head else 0, body)


def own(world: World) -> bytes:
    return b"authorization: " + world.owner.bearer["authorization"].encode()


INTERNAL = [
    b"/internal/auth/revocations",
    b"/Internal/auth/revocations",
    b"/%69nternal/auth/revocations",
    b"/%2569nternal/auth/revocations",
    b"/i%6etern%61l/auth/revocations",
    b"/internal%2fauth%2frevocations",
    b"/internal%00/auth/revocations",
    b"/internal/auth/revocations?x=/api/auth/token",
    b"/internal/auth/revocations#/api/auth/token",
    b"/internal/auth/revocations;/api/auth/token",
    b"//internal/auth/revocations",
    b"/./internal/auth/revocations",
    b"/api/auth/token/../../../internal/auth/revocations",
    b"/api/auth/token/%2e%2e/%2e%2e/%2e%2e/internal/auth/revocations",
    b"/api/auth/token/%252e%252e/%252e%252e/internal/auth/revocations",
    b"/api/auth/token/..%2f..%2f..%2finternal/auth/revocations",
    b"/api/auth/token/..%5c..%5cinternal/auth/revocations",
    b"/api/auth/token/..%c0%af..%c0%afinternal/auth/revocations",
    b"/api/auth/token/\xef\xbc\x8e\xef\xbc\x8e/internal/auth/revocations",
    b"/api/auth/token\\..\\..\\internal/auth/revocations",
    b"/api/auth/internal/auth/revocations",
    b"http://localhost/internal/auth/revocations",
    b"http://localhost:8001/internal/auth/revocations",
    b"internal/auth/revocations",
    b"*/internal/auth/revocations",
]


@pytest.mark.parametrize("target", INTERNAL, ids=repr)
def test_internal_routes_are_not_reached_however_they_are_written(attacked: World, target: bytes) -> None:  # noqa: F811
    """Not with the key of a service either: it comes from outside."""
    service = service_authorization(attacked.secret_key, "chat").encode()
    for credential in (own(attacked), b"authorization: " + service, b"x-none: 1"):
        answer = ask(attacked, target, credential)
        assert answer.status in (0, 400, 401, 404), answer
        assert b'"data"' not in answer.body


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"PUT", b"OPTIONS", b"TRACE", b"CONNECT"])
def test_no_header_leads_elsewhere_than_the_path(attacked: World, method: bytes) -> None:  # noqa: F811
    inside = b"/internal/auth/revocations"
    names = (b"x-original-url", b"x-rewrite-url", b"x-forwarded-path", b"x-forwarded-prefix", b"x-http-method-override")
    headers = [name + b": " + inside for name in names]
    answer = ask(attacked, b"/nothing-is-here", own(attacked), *headers, b"content-length: 0", method=method)
    assert answer.status in (0, 400, 404, 405)
    me = ask(attacked, b"/api/auth/me", own(attacked), *headers)
    assert me.json()["id"] == attacked.owner.id


IDENTITY = (
    b"x-user-id",
    b"x-organization-id",
    b"x-role",
    b"x-scopes",
    b"x-auth-user",
    b"x-remote-user",
    b"remote-user",
    b"x-client-cert",
    b"x-synapscale-user",
    b"x-forwarded-user",
    b"x-forwarded-access-token",
)


def test_headers_that_say_who_one_is_say_nothing(attacked: World) -> None:  # noqa: F811
    member = attacked.person()
    bearer = b"authorization: " + member.bearer["authorization"].encode()
    chief, home = attacked.owner.id.encode(), attacked.rival_owner.organization_id.encode()
    claims = [name + b": " + (home if b"organization" in name else chief) for name in IDENTITY]
    me = ask(attacked, b"/api/auth/me", bearer, *claims).json()
    assert (me["id"], me["organization"]["id"], me["role"]) == (member.id, member.organization_id, "member")
    assert ask(attacked, b"/api/auth/users", bearer, *claims).status == 403
    assert ask(attacked, b"/api/chat/conversations", bearer, *claims).json()["data"] == []
    for path in (b"/api/auth/me", b"/v1/models", b"/api/chat/conversations"):
        assert ask(attacked, path, *claims).status == 401


def test_what_is_recorded_is_where_a_request_came_from_and_not_where_it_says(attacked: World) -> None:  # noqa: F811
    """The audit and the list of sessions show the address of the connection."""
    forged = {
        "x-forwarded-for": "203.0.113.66",
        "x-real-ip": "203.0.113.66",
        "forwarded": "for=203.0.113.66",
        "x-request-id": f"req-{new_id('x')}",
        "x-forwarded-host": "evil.example",
    }
    member = attacked.person()
    login = {"username": member.username, "password": member.password}
    answer = attacked.client.post("/api/auth/token", json=login, headers=forged)
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    sessions = attacked.client.get("/api/auth/sessions", headers=bearer).json()["data"]
    assert {each["address"] for each in sessions} == {"127.0.0.1"}
    events = attacked.owner("GET", f"/api/auth/audit-events?actor={member.id}").json()["data"]
    assert events
    assert {each["address"] for each in events} == {"127.0.0.1"}


HOSTS = [
    b"host: localhost/api/auth/token",
    b"host: localhost?/api/auth/token",
    b"host: localhost#",
    b"host: user@localhost",
    b"host: localhost, evil.example",
    b"host: localhost\thttp",
    b"host: ",
    b"host: localhost:99999999",
    b"host: localhost\r\nhost: evil.example",
    b"x-no-host: 1",
    b"host : localhost",
]


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_a_host_that_is_none_is_refused_and_opens_nothing(attacked: World, host: bytes) -> None:  # noqa: F811
    for path in (b"/api/auth/me", b"/api/auth/users", b"/v1/models"):
        assert ask(attacked, path, host=host).status in (0, 400)
        assert ask(attacked, path, own(attacked), host=host).status in (0, 400)


@pytest.mark.parametrize("host", [b"evil.example", b"api.openai.com", b"127.0.0.1:8001", b"[::1]:1", b"metadata"])
def test_another_host_changes_neither_who_may_ask_nor_what_is_said_of_us(attacked: World, host: bytes) -> None:  # noqa: F811
    """The issuer and every address in the metadata are those of the settings."""
    for path in (b"/api/auth/me", b"/api/auth/token/../me", b"/v1/models"):
        assert ask(attacked, path, host=b"host: " + host).status in (400, 401)
    metadata = ask(
        attacked,
        b"/.well-known/oauth-authorization-server",
        b"x-forwarded-host: " + host,
        b"x-forwarded-proto: https",
        host=b"host: " + host,
    )
    assert metadata.status == 200
    assert metadata.json()["issuer"] == attacked.url
    assert host not in metadata.body
    refused = ask(attacked, b"/nothing", b"x-forwarded-host: " + host, host=b"host: " + host)
    assert host not in refused.body


def test_no_answer_leads_away(attacked: World) -> None:  # noqa: F811
    """No redirect with a host of the client's choice, as a slash at the end would make one."""
    for path in (b"/api/auth/me/", b"/v1/models/", b"/api/chat/conversations/", b"/health/", b"/docs/"):
        answer = ask(attacked, path, own(attacked), host=b"host: evil.example")
        assert answer.status not in (301, 302, 303, 307, 308), path
        assert b"evil.example" not in answer.body
