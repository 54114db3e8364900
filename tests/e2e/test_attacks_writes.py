"""Members that no client may write are refused by name, and nothing is written; nobody gives what they do not have."""

from typing import Any, NamedTuple

import pytest

from shared.ids import new_id
from tests.e2e.attackers import PASSWORD, Person, World

FORBIDDEN: dict[str, Any] = {
    "role": "owner",
    "organization_id": new_id("org"),
    "kind": "service",
    "id": new_id("usr"),
    "password_hash": "x",
    "disabled_at": None,
    "scopes": ["admin"],
    "user_id": new_id("usr"),
    "created_at": "2020-01-01T00:00:00Z",
    "is_admin": True,
}

ROUTES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "PATCH /api/auth/me": ("admin", {"display_name": "x"}, set()),
    "POST /api/auth/me/password": ("member", {"current_password": PASSWORD, "new_password": PASSWORD[::-1]}, set()),
    "POST /api/auth/users": ("admin", {"username": "mass.user", "password": PASSWORD}, {"role"}),
    "PATCH /api/auth/users/{usr}": ("admin", {"display_name": "x"}, set()),
    "POST /api/auth/organizations": ("admin", {"name": "mass"}, set()),
    "PATCH /api/auth/organizations/{org}": ("admin", {"name": "mass"}, set()),
    "POST /api/auth/organizations/{org}/members": ("admin", {"username": "mass.user", "role": "member"}, {"role"}),
    "PATCH /api/auth/organizations/{org}/members/{usr}": ("admin", {"role": "viewer"}, {"role"}),
    "POST /api/auth/organizations/{org}/invitations": ("admin", {}, {"role"}),
    "POST /api/auth/service-accounts": ("admin", {"name": "mass"}, {"role"}),
    "PATCH /api/auth/service-accounts/{robot}": ("admin", {"disabled": False}, set()),
    "POST /api/auth/api-keys": ("member", {"name": "mass"}, {"scopes", "user_id"}),
    "PATCH /api/auth/api-keys/{key}": ("member", {"name": "mass"}, {"scopes"}),
    "POST /api/auth/api-keys/{key}/rotate": ("member", {"overlap_seconds": 1}, set()),
    "POST /api/auth/register": ("member", {"username": "mass.user", "password": PASSWORD}, set()),
    "POST /api/chat/messages": ("member", {"content": "hi", "conversation_id": "conv_mass"}, set()),
    "POST /api/chat/messages/{msg}/regenerate": ("member", {}, set()),
    "POST /api/chat/messages/{msg}/continue": ("member", {}, set()),
    "POST /api/chat/messages/{msg}/edit": ("member", {"content": "hi"}, set()),
    "PUT /api/chat/messages/{msg}/feedback": ("member", {"rating": "good"}, set()),
    "POST /api/chat/conversations": ("member", {"title": "mass"}, set()),
    "PATCH /api/chat/conversations/{conv}": ("member", {"title": "mass"}, set()),
}
"""Who asks, with which good body, and what of the forbidden is theirs to write there."""


class Cast(NamedTuple):
    world: World
    admin: Person
    member: Person
    ids: dict[str, str]


@pytest.fixture(scope="module")
def cast(attacked: World) -> Cast:
    admin, member = attacked.person("admin"), attacked.person()
    message = member.made("/api/chat/messages", {"content": "hi", "conversation_id": "conv_cast"})
    ids = {
        "usr": attacked.person().id,
        "org": admin.organization_id,
        "robot": admin.made("/api/auth/service-accounts", {"name": "robot"})["id"],
        "key": member.has_key()["id"],
        "conv": message["conversation_id"],
        "msg": message["id"],
    }
    return Cast(attacked, admin, member, ids)


def rows(world: World) -> list[Any]:
    tables = ("users", "memberships", "organizations", "api_keys", "invitations")
    row = "(to_jsonb(t) - 'last_used_at')::text"
    found = [world.sql(f"SELECT {row} FROM auth.{table} t ORDER BY 1") for table in tables]
    return [*found, world.sql("SELECT to_jsonb(t)::text FROM chat.messages t ORDER BY 1")]


@pytest.mark.parametrize("route", ROUTES)
def test_what_a_client_may_not_write_is_422_by_its_name_and_changes_nothing(cast: Cast, route: str) -> None:
    who, good, allowed = ROUTES[route]
    method, path = route.split()
    before = rows(cast.world)
    for name in FORBIDDEN.keys() - allowed:
        answer = getattr(cast, who)(method, path.format(**cast.ids), good | {name: FORBIDDEN[name]})
        assert answer.status_code == 422, f"{name}: {answer.text}"
        assert any(each["pointer"] == f"/{name}" for each in answer.json()["errors"]), answer.text
    assert rows(cast.world) == before


def test_every_write_of_the_platform_is_attacked(cast: Cast) -> None:
    """A route that joins has to join the table above, or the list here of those that read no members of bodies."""
    described = cast.world.client.get("/openapi.json").json()["paths"]
    writes = {
        f"{method.upper()} {path}"
        for path, operations in described.items()
        for method, operation in operations.items()
        if method in ("post", "put", "patch") and "requestBody" in operation
    }
    attacked = {
        route.replace("{usr}", "{user_id}")
        .replace("{org}", "{organization_id}")
        .replace("{robot}", "{account_id}")
        .replace("{key}", "{key_id}")
        .replace("{conv}", "{conversation_id}")
        .replace("{msg}", "{message_id}")
        for route in ROUTES
    }
    dialects = {one for one in writes if one.startswith(("POST /v1/", "POST /api/llm/"))}  # nothing of them is kept
    oauth = {"POST /api/auth/token", "POST /api/auth/revoke"}  # RFC 6749: unknown fields are ignored
    assert writes == attacked | dialects | oauth


@pytest.mark.parametrize("name", sorted(FORBIDDEN.keys() - {"organization_id"}))
def test_a_login_ignores_what_it_does_not_know(cast: Cast, name: str) -> None:
    """RFC 6749 §3.2 has it ignored, so it must not count."""
    answer = cast.world.client.post(
        "/api/auth/token",
        json={"username": cast.member.username, "password": PASSWORD, name: FORBIDDEN[name]},
    )
    assert answer.status_code == 200
    token = answer.json()
    assert "admin" not in token["scope"].split()
    me = cast.world.client.get("/api/auth/me", headers={"authorization": f"Bearer {token['access_token']}"}).json()
    assert (me["id"], me["role"]) == (cast.member.id, "member")


GROWTH: dict[str, tuple[str, str, str, Any]] = {
    "a member makes a key for administration": (
        "member",
        "POST",
        "/api/auth/api-keys",
        {"name": "up", "scopes": ["admin"]},
    ),
    "a member makes a key for somebody else": (
        "member",
        "POST",
        "/api/auth/api-keys",
        {"name": "up", "user_id": "@usr"},
    ),
    "a member gives their key administration": ("member", "PATCH", "/api/auth/api-keys/@key", {"scopes": ["admin"]}),
    "a viewer makes a key that invokes": (
        "viewer",
        "POST",
        "/api/auth/api-keys",
        {"name": "up", "scopes": ["llm:invoke"]},
    ),
    "a viewer invokes": (
        "viewer",
        "POST",
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
    ),
    "a viewer chats": ("viewer", "POST", "/api/chat/messages", {"content": "hi"}),
    "a member makes a user": ("member", "POST", "/api/auth/users", {"username": "grown.user", "password": PASSWORD}),
    "a member changes a user": ("member", "PATCH", "/api/auth/users/@usr", {"password": PASSWORD[::-1]}),
    "a member promotes themselves": (
        "member",
        "PATCH",
        "/api/auth/organizations/@org/members/@member",
        {"role": "admin"},
    ),
    "a member invites": ("member", "POST", "/api/auth/organizations/@org/invitations", {"role": "admin"}),
    "a member makes a service account": (
        "member",
        "POST",
        "/api/auth/service-accounts",
        {"name": "up", "role": "admin"},
    ),
    "a member reads what happened": ("member", "GET", "/api/auth/audit-events", None),
    "an admin makes an owner": (
        "admin",
        "POST",
        "/api/auth/users",
        {"username": "grown.user", "password": PASSWORD, "role": "owner"},
    ),
    "an admin promotes themselves": (
        "admin",
        "PATCH",
        "/api/auth/organizations/@org/members/@admin",
        {"role": "owner"},
    ),
    "an admin invites an owner": ("admin", "POST", "/api/auth/organizations/@org/invitations", {"role": "owner"}),
    "an admin makes their program an owner": (
        "admin",
        "PATCH",
        "/api/auth/organizations/@org/members/@robot",
        {"role": "owner"},
    ),
    "an admin demotes an owner": ("admin", "PATCH", "/api/auth/organizations/@org/members/@owner", {"role": "viewer"}),
    "an admin changes an owner's password": ("admin", "PATCH", "/api/auth/users/@owner", {"password": PASSWORD[::-1]}),
    "an admin deletes an owner": ("admin", "DELETE", "/api/auth/users/@owner", None),
    "an admin deletes the organization": ("admin", "DELETE", "/api/auth/organizations/@org", None),
    "a key makes a key": ("key", "POST", "/api/auth/api-keys", {"name": "up"}),
    "a key lifts its own limits": ("key", "PATCH", "/api/auth/api-keys/@own", {"expires_at": None}),
    "a key rotates itself": ("key", "POST", "/api/auth/api-keys/@own/rotate", {}),
    "a key changes its owner's password": (
        "key",
        "POST",
        "/api/auth/me/password",
        {"current_password": PASSWORD, "new_password": PASSWORD[::-1]},
    ),
    "a key ends its owner's logins": ("key", "DELETE", "/api/auth/sessions", None),
    "a key founds an organization": ("key", "POST", "/api/auth/organizations", {"name": "up"}),
    "a narrowed login makes a wider key": (
        "narrowed",
        "POST",
        "/api/auth/api-keys",
        {"name": "up", "scopes": ["llm:invoke"]},
    ),
    "a narrowed administrator administers": ("narrowed", "GET", "/api/auth/users", None),
    "a limited key of an admin makes one without limits": ("limited", "POST", "/api/auth/api-keys", {"name": "up"}),
}


@pytest.fixture(scope="module")
def growing(cast: Cast) -> dict[str, Any]:
    """Who tries, and the ids that they name with an @."""
    viewer, keeper, limited = (cast.world.person(role) for role in ("viewer", "member", "admin"))
    key = keeper.has_key()
    keeper.token = {"access_token": key["key"]}
    scopes = ["admin", "llm:read"]
    limited.token = {"access_token": limited.has_key(scopes=scopes, requests_per_minute=100)["key"]}
    narrowed = cast.world.person("admin").log_in(scope="llm:read chat:read")
    people = {"admin": cast.admin, "member": cast.member, "viewer": viewer, "key": keeper, "limited": limited}
    named = {"@admin": cast.admin.id, "@member": cast.member.id, "@owner": cast.world.owner.id, "@own": key["id"]}
    return people | {"narrowed": narrowed} | {f"@{name}": each for name, each in cast.ids.items()} | named


@pytest.mark.parametrize("attempt", GROWTH)
def test_nobody_gets_more_than_they_have(cast: Cast, growing: dict[str, Any], attempt: str) -> None:
    who, method, path, body = GROWTH[attempt]
    path = "/".join(str(growing.get(part, part)) for part in path.split("/"))
    given = {name: growing[value] if str(value).startswith("@") else value for name, value in (body or {}).items()}
    before = rows(cast.world)
    answer = growing[who](method, path, given if body is not None else None)
    assert answer.status_code == 403, answer.text
    assert rows(cast.world) == before


@pytest.mark.parametrize("form", [{"scope": "llm:read admin"}, {"scope": "llm:invoke"}])
def test_a_narrowed_login_does_not_grow_when_it_is_renewed(cast: Cast, form: dict[str, str]) -> None:
    narrowed = cast.world.person("admin").log_in(scope="llm:read")
    asked = {"grant_type": "refresh_token", "refresh_token": narrowed.token["refresh_token"]}
    answer = cast.world.client.post("/api/auth/token", data=asked | form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert cast.world.client.post("/api/auth/token", data=asked).json()["scope"] == "llm:read"


def test_a_login_is_not_renewed_into_an_organization_of_others(cast: Cast) -> None:
    member = cast.world.person()
    asked = {"grant_type": "refresh_token", "refresh_token": member.token["refresh_token"]}
    for organization in (cast.world.rival_owner.organization_id, new_id("org")):
        answer = cast.world.client.post("/api/auth/token", data=asked | {"organization_id": organization})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert member.refresh().status_code == 200


def test_adding_somebody_to_an_organization_gives_no_power_over_their_account(cast: Cast) -> None:
    """Whoever administers anything may add anybody by name; the account stays with the organization it belongs to."""
    chief, victim = cast.world.rival("admin"), cast.world.person()
    own_key = victim.has_key()
    home = f"/api/auth/organizations/{chief.organization_id}/members"
    chief.made(home, {"username": victim.username, "role": "viewer"})
    for method, body in (("PATCH", {"password": PASSWORD[::-1]}), ("PATCH", {"disabled": True}), ("DELETE", None)):
        assert chief(method, f"/api/auth/users/{victim.id}", body).status_code in (403, 404)
    assert chief("GET", f"/api/auth/api-keys/{own_key['id']}").status_code == 404
    assert chief("GET", f"/api/auth/api-keys?user_id={victim.id}").json()["data"] == []
    assert chief("GET", f"/api/auth/users/{victim.id}").json()["email"] is None
    assert victim.log_in()("GET", "/api/auth/me").json()["role"] == "member"
