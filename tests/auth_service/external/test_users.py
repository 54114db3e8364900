"""Who somebody of another issuer is here: made when first seen, in the organization and role that their claims give."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from sqlalchemy import delete, func, select, update

from auth_service.audit.models import AuditEvent
from auth_service.organizations.models import Membership, Organization
from auth_service.sessions.models import LoginSession
from auth_service.settings import Settings
from auth_service.users.models import ExternalIdentity, User
from shared.auth.services import service_authorization
from shared.database import Sessions
from tests.auth_service.calling import revoked
from tests.auth_service.external.conftest import ROLE_CLAIM, Trusting, claims_for, exchange, is_refused, scopes_of
from tests.auth_service.external.oidc import OidcProvider
from tests.auth_service.factories import make_user
from tests.tokens import SECRET


async def users(sessions: Sessions) -> list[User]:
    async with sessions() as session:
        found = await session.scalars(select(User).where(User.username != "admin").order_by(User.id))
        return list(found)


async def test_who_is_seen_first_is_made_a_user_once(
    auth: httpx2.AsyncClient, trusting: Trusting, issuer: OidcProvider, sessions: Sessions
) -> None:
    async with trusting(**ROLE_CLAIM) as other:
        answers = await asyncio.gather(*(exchange(replica, issuer.token()) for replica in [auth, other] * 8))
    assert {answer.status_code for answer in answers} == {200}
    (alice,) = await users(sessions)
    assert (alice.username, alice.organization_id, alice.password_hash) == ("alice", "org_acme", None)
    async with sessions() as session:
        actions = list(await session.scalars(select(AuditEvent.action).where(AuditEvent.target == alice.id)))
    assert actions == ["user.create"]


async def test_a_name_or_an_address_never_leads_to_an_account_that_is_there(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    local = await make_user(sessions, "Alice", role="owner")
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == local.id).values(email="alice@example.org"))
    claims = await claims_for(auth, issuer.token("alice", preferred_username="ALICE"))
    assert claims["sub"] != local.id
    _, made = await users(sessions)
    assert made.username.startswith("alice-")
    assert made.email is None


async def test_only_a_verified_address_is_taken_over(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    await claims_for(auth, issuer.token("a", email_verified=False))
    await claims_for(auth, issuer.token("b", email_verified="true"))
    await claims_for(auth, issuer.token("c"))
    assert [user.email for user in await users(sessions)] == [None, None, "c@example.org"]


@pytest.mark.parametrize("name", ["", " ", "\0", "x" * 2000, 7, ["alice"], None, "é\u200b", "a\nb"])
async def test_any_name_gives_a_user(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions, name: object
) -> None:
    await claims_for(auth, issuer.token("subject-1", preferred_username=name, email=name))
    (made,) = await users(sessions)
    assert 0 < len(made.username) <= 128
    assert made.username.isprintable()


async def test_the_strongest_role_that_the_claims_give_is_taken_and_followed(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    async def scopes(*roles: Any) -> set[str]:
        claims = await claims_for(auth, issuer.token(realm_access={"roles": list(roles)}))
        return set(claims["scope"].split())

    assert await scopes("other", "dev") == scopes_of("developer")
    assert await scopes("dev", "boss", 7) == scopes_of("admin")
    assert await scopes() == scopes_of("member")
    async with sessions() as session:
        changes = list(
            await session.scalars(select(AuditEvent.details).where(AuditEvent.action == "member.change_role"))
        )
    assert [(change["was"], change["role"]) for change in changes] == [("developer", "admin"), ("admin", "member")]


async def role_of(sessions: Sessions, user_id: str) -> str | None:
    async with sessions() as session:
        return await session.scalar(select(Membership.role).where(Membership.user_id == user_id))


async def test_a_lower_role_ends_what_was_made_before_and_no_older_token_gives_the_higher_one_back(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    older = issuer.token(iat=int(time.time()) - 60, realm_access={"roles": ["boss"]})
    alice = (await claims_for(auth, older))["sub"]
    assert await role_of(sessions, alice) == "admin"
    assert await revoked(sessions) == set()
    await claims_for(auth, issuer.token())
    assert await revoked(sessions) == {f"{alice}/org_acme"}
    assert set((await claims_for(auth, older))["scope"].split()) == scopes_of("member")
    assert await role_of(sessions, alice) == "member"


async def test_claims_do_not_take_an_organizations_last_owner_away(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    alice = (await claims_for(auth, issuer.token()))["sub"]
    async with sessions.begin() as session:
        await session.execute(update(Membership).where(Membership.user_id == alice).values(role="owner"))
    assert set((await claims_for(auth, issuer.token()))["scope"].split()) == scopes_of("member")
    assert await role_of(sessions, alice) == "owner"
    await make_user(sessions, "bob", role="owner", organization_id="org_acme")
    await claims_for(auth, issuer.token())
    assert await role_of(sessions, alice) == "member"


async def test_two_owners_whose_claims_lower_them_at_once_leave_one(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    both = [issuer.token(name) for name in ("alice", "bob")]
    owners = [(await claims_for(auth, token))["sub"] for token in both]
    for _ in range(5):
        async with sessions.begin() as session:
            await session.execute(update(Membership).where(Membership.user_id.in_(owners)).values(role="owner"))
        await asyncio.gather(*(claims_for(auth, token) for token in both))
        assert sorted([str(await role_of(sessions, owner)) for owner in owners]) == ["member", "owner"]


async def test_without_a_role_nobody_is_let_in(trusting: Trusting, issuer: OidcProvider, sessions: Sessions) -> None:
    async with trusting(**ROLE_CLAIM, default_role=None) as auth:
        assert await is_refused(auth, issuer.token())
        assert await is_refused(auth, issuer.token(realm_access="boss"))
        assert await is_refused(auth, issuer.token(realm_access={"roles": ["owner", "admin"]}))
    assert await users(sessions) == []


async def test_a_claim_leads_to_the_organization(trusting: Trusting, issuer: OidcProvider, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        session.add(Organization(id="org_beta", name="Beta"))
    entry = {
        "organization": None,
        "organization_claim": "tenant",
        "organizations": {"a": "org_acme", "b": "org_beta", "gone": "org_gone"},
    }
    async with trusting(**entry) as auth:
        first = await claims_for(auth, issuer.token(tenant="a"))
        second = await claims_for(auth, issuer.token(tenant=["b", "unknown"]))
        for tenant in ("unknown", "org_acme", ["a", "b"], None, {"a": 1}, "gone"):
            assert await is_refused(auth, issuer.token(tenant=tenant)), tenant
    assert (first["org"], second["org"]) == ("org_acme", "org_beta")
    assert first["sub"] != second["sub"]
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 2


async def test_who_was_disabled_or_put_out_stays_out(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    user_id = (await claims_for(auth, issuer.token()))["sub"]
    async with sessions.begin() as session:
        await session.execute(update(User).values(disabled_at=datetime.now(UTC)).where(User.id == user_id))
    assert await is_refused(auth, issuer.token())
    async with sessions.begin() as session:
        await session.execute(update(User).values(disabled_at=None).where(User.id == user_id))
        await session.execute(delete(Membership).where(Membership.user_id == user_id))
    assert await is_refused(auth, issuer.token())


async def test_a_token_is_a_login_that_can_be_ended_and_that_grants_rest_on(
    auth: httpx2.AsyncClient, issuer: OidcProvider, sessions: Sessions
) -> None:
    token = issuer.token()
    claims, again = await claims_for(auth, token), await claims_for(auth, token)
    assert claims["sid"] == again["sid"]
    async with sessions() as session:
        created = select(AuditEvent.target, AuditEvent.actor).where(AuditEvent.action == "session.create")
        assert (await session.execute(created)).all() == [(claims["sid"], claims["sub"])]
    ours = (await exchange(auth, token)).json()["access_token"]
    granted = await auth.post(
        "/internal/auth/grants",
        json={"subject_token": ours, "scopes": ["llm:invoke"], "life": 3600},
        headers={"authorization": service_authorization(SECRET, "chat")},
    )
    assert granted.is_success, granted.text
    async with sessions.begin() as session:
        await session.execute(
            update(LoginSession).where(LoginSession.id == claims["sid"]).values(revoked_at=datetime.now(UTC))
        )
    assert await is_refused(auth, token)
    assert (await claims_for(auth, issuer.token(jti="another login")))["sid"] != claims["sid"]


GOOD = {"issuer": "https://id.example", "audience": "x", "organization": "org_x", "default_role": "member"}


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({**GOOD, "audience": ""}, "oidc_issuers.1.audience"),
        ({k: v for k, v in GOOD.items() if k != "audience"}, "oidc_issuers.1.audience"),
        ({**GOOD, "issuer": "id.example"}, "oidc_issuers.1.issuer"),
        ({**GOOD, "issuer": "http://id.example"}, "entry 1: http://id.example is not https"),
        (GOOD, "entry 1: https://id.example is there already"),
        ({**GOOD, "issuer": "http://localhost:8000"}, "entry 1"),
        ({**GOOD, "algorithms": ["HS256"]}, "oidc_issuers.1.algorithms"),
        ({**GOOD, "algorithms": ["none"]}, "oidc_issuers.1.algorithms"),
        ({**GOOD, "default_role": "king"}, "must be one of owner"),
        ({**GOOD, "default_role": None}, "nobody is let in"),
        ({**GOOD, "organization": None}, "organization_claim with organizations"),
        ({**GOOD, "organization_claim": "tenant"}, "organization_claim with organizations"),
        ({**GOOD, "role_claim": "roles"}, "role_claim and roles go together"),
        ({**GOOD, "audiance": "x"}, "oidc_issuers.1.audiance"),
        ("nonsense", "oidc_issuers.1"),
    ],
)
def test_a_mistaken_entry_is_named(second: Any, told: str) -> None:
    with pytest.raises(ValidationError) as mistake:
        Settings(oidc_issuers=json.dumps([GOOD, second]))
    assert told in str(mistake.value)


def test_entries_are_read_from_a_file_or_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "issuers.json"
    path.write_text(json.dumps([GOOD]))
    monkeypatch.setenv("SYNAPSCALE_OIDC_ISSUERS", str(path))
    assert [entry.issuer for entry in Settings().oidc_issuers] == ["https://id.example"]
    monkeypatch.setenv("SYNAPSCALE_OIDC_ISSUERS", json.dumps([GOOD]))
    assert [entry.issuer for entry in Settings().oidc_issuers] == ["https://id.example"]
    for wrong in ("[{", str(tmp_path / "none.json"), str(tmp_path)):
        monkeypatch.setenv("SYNAPSCALE_OIDC_ISSUERS", wrong)
        with pytest.raises(ValidationError, match="JSON array"):
            Settings()


def test_production_takes_no_issuer_without_https() -> None:
    local = {**GOOD, "issuer": "http://127.0.0.1:9000"}
    assert Settings(oidc_issuers=[local]).oidc_issuers
    secret = "8Yb2xG7wq0Vt5Lr1uJ4nC9sKd3Fz6Hp-aE_mQo"
    with pytest.raises(ValidationError, match="is not https"):
        Settings(
            env="production",
            oidc_issuers=[local],
            secret_key=secret,
            admin_password=secret,
            database_url=f"postgresql://u:{secret}@db/x",
        )
