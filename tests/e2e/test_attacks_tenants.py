"""Whoever knows an id of another organization learns and changes nothing: not even that it exists."""

from typing import Any, NamedTuple

import pytest

from shared.ids import new_id
from tests.e2e.attackers import PASSWORD, Person, World, told


class Victims(NamedTuple):
    """Ids that belong to one organization; `ids` by their prefixes."""

    world: World
    ids: dict[str, str]
    username: str


@pytest.fixture(scope="module")
def victims(attacked: World) -> Victims:
    victim = attacked.person("admin")
    message = victim.made("/api/chat/messages", {"content": "our secret", "conversation_id": "conv_ours"})
    organization = victim.organization_id
    account = victim.made("/api/auth/service-accounts", {"name": "robot"})
    ids = {
        "usr": victim.id,
        "org": organization,
        "key": victim.has_key()["id"],
        "ses": victim("GET", "/api/auth/sessions").json()["data"][0]["id"],
        "inv": victim.made(f"/api/auth/organizations/{organization}/invitations", {})["id"],
        "evt": victim("GET", "/api/auth/audit-events").json()["data"][0]["id"],
        "conv": message["conversation_id"],
        "msg": message["id"],
        "gen": message["generation_id"],
        "robot": account["id"],
    }
    return Victims(attacked, ids, victim.username)


@pytest.fixture(scope="module", params=["owner", "admin", "member", "viewer", "key of an admin"])
def rival(request: Any, victims: Victims) -> Person:
    person = victims.world.rival(request.param.rpartition(" ")[2])
    if request.param.startswith("key"):
        scopes = ["admin", "llm:read", "llm:invoke", "chat:read", "chat:write"]
        person.token = {"access_token": person.has_key(scopes=scopes)["key"]}
    return person


USER = {"display_name": "mine"}
ATTACKS: list[tuple[str, str, str, Any]] = [
    ("usr", "GET", "/api/auth/users/{usr}", None),
    ("usr", "PATCH", "/api/auth/users/{usr}", USER),
    ("usr", "PATCH", "/api/auth/users/{usr}", {"password": PASSWORD[::-1]}),
    ("usr", "DELETE", "/api/auth/users/{usr}", None),
    ("usr", "PATCH", "/api/auth/organizations/{mine}/members/{usr}", {"role": "viewer"}),
    ("usr", "DELETE", "/api/auth/organizations/{mine}/members/{usr}", None),
    ("usr", "POST", "/api/auth/api-keys", {"name": "theirs", "user_id": "{usr}"}),
    ("usr", "GET", "/api/auth/api-keys?user_id={usr}", None),
    ("usr", "GET", "/api/auth/service-accounts/{usr}", None),
    ("usr", "DELETE", "/api/auth/service-accounts/{usr}", None),
    ("usr", "GET", "/api/auth/audit-events?actor={usr}", None),
    ("usr", "GET", "/api/auth/audit-events?target={usr}", None),
    ("org", "GET", "/api/auth/organizations/{org}", None),
    ("org", "PATCH", "/api/auth/organizations/{org}", {"name": "mine"}),
    ("org", "DELETE", "/api/auth/organizations/{org}", None),
    ("org", "GET", "/api/auth/organizations/{org}/members", None),
    ("org", "POST", "/api/auth/organizations/{org}/members", {"username": "admin", "role": "admin"}),
    ("org", "GET", "/api/auth/organizations/{org}/invitations", None),
    ("org", "POST", "/api/auth/organizations/{org}/invitations", {"role": "admin"}),
    ("org", "GET", "/api/auth/audit-events?target={org}", None),
    ("key", "GET", "/api/auth/api-keys/{key}", None),
    ("key", "PATCH", "/api/auth/api-keys/{key}", {"name": "mine"}),
    ("key", "POST", "/api/auth/api-keys/{key}/rotate", {}),
    ("key", "DELETE", "/api/auth/api-keys/{key}", None),
    ("ses", "DELETE", "/api/auth/sessions/{ses}", None),
    ("inv", "DELETE", "/api/auth/organizations/{mine}/invitations/{inv}", None),
    ("inv", "DELETE", "/api/auth/organizations/{org}/invitations/{inv}", None),
    ("evt", "GET", "/api/auth/audit-events/{evt}", None),
    ("conv", "GET", "/api/chat/conversations/{conv}", None),
    ("conv", "GET", "/api/chat/conversations/{conv}/messages", None),
    ("conv", "PATCH", "/api/chat/conversations/{conv}", {"title": "mine"}),
    ("conv", "DELETE", "/api/chat/conversations/{conv}", None),
    ("msg", "GET", "/api/chat/messages/{msg}", None),
    ("msg", "GET", "/api/chat/messages/{msg}/siblings", None),
    ("msg", "POST", "/api/chat/messages/{msg}/regenerate", {}),
    ("msg", "POST", "/api/chat/messages/{msg}/edit", {"content": "mine"}),
    ("msg", "POST", "/api/chat/messages/{msg}/continue", {}),
    ("msg", "PUT", "/api/chat/messages/{msg}/feedback", {"rating": "bad"}),
    ("msg", "DELETE", "/api/chat/messages/{msg}", None),
    ("msg", "POST", "/api/chat/messages", {"content": "and?", "conversation_id": "conv_mine", "parent_id": "{msg}"}),
    ("gen", "GET", "/api/chat/generations/{gen}/events", None),
    ("gen", "POST", "/api/chat/generations/{gen}/stop", None),
    ("robot", "GET", "/api/auth/service-accounts/{robot}", None),
    ("robot", "PATCH", "/api/auth/service-accounts/{robot}", {"disabled": True}),
    ("robot", "DELETE", "/api/auth/service-accounts/{robot}", None),
    ("robot", "PATCH", "/api/auth/organizations/{mine}/members/{robot}", {"role": "viewer"}),
    ("robot", "POST", "/api/auth/api-keys", {"name": "theirs", "user_id": "{robot}"}),
]


def filled(template: Any, ids: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {name: filled(value, ids) for name, value in template.items()}
    return template.format(**ids) if isinstance(template, str) else template


def unknown(like: str) -> str:
    return "conv_nobodys" if like.startswith("conv_") else new_id(like.partition("_")[0])


@pytest.mark.parametrize(("kind", "method", "path", "body"), ATTACKS, ids=[f"{a[1]} {a[2]}" for a in ATTACKS])
def test_an_id_of_another_organization_is_answered_as_one_that_nobody_has(
    victims: Victims, rival: Person, kind: str, method: str, path: str, body: Any
) -> None:
    """The same words, whatever the rival may do at home."""
    mine = {"mine": rival.organization_id}
    theirs, nobodys = victims.ids, victims.ids | {kind: unknown(victims.ids[kind])}
    before = rows_of(victims.world)
    answer = rival(method, filled(path, theirs | mine), filled(body, theirs))
    other = rival(method, filled(path, nobodys | mine), filled(body, nobodys))
    assert told(answer, theirs[kind]) == told(other, nobodys[kind])
    if "?" in path:
        assert answer.status_code == 403 or answer.json()["data"] == []
    else:
        assert answer.status_code in (403, 404)
    if "admin" in rival_scopes(rival) and "?" not in path:
        assert answer.status_code == 404 or ("/sessions/" in path and answer.status_code == 403), answer.text
    assert rows_of(victims.world) == before


def rival_scopes(rival: Person) -> list[str]:
    scopes: list[str] = rival("GET", "/api/auth/me").json()["scopes"]
    return scopes


def rows_of(world: World) -> list[Any]:
    """All that an attack could have changed in the victims' organization."""
    organization = world.owner.organization_id
    tables = {
        "auth.users": "to_jsonb(t) - 'updated_at'",
        "auth.memberships": "to_jsonb(t)",
        "auth.api_keys": "to_jsonb(t)",
        "auth.invitations": "to_jsonb(t)",
        "auth.sessions": "to_jsonb(t)",
        "chat.messages": "to_jsonb(t)",
        "chat.conversations": "to_jsonb(t)",
    }
    return [
        world.sql(f"SELECT {row} FROM {table} t WHERE organization_id = $1 ORDER BY 1", organization)
        for table, row in tables.items()
    ]
