"""Whoever reads or writes rows of an organization says of which: a walk over all SQL in the house."""

import textwrap

import pytest

from tests.tenancy import TENANT_COLUMN, violations
from tests.test_architecture import name_of, sources

ALLOWED = {
    "auth_service/api_keys/repository.py:find_live_key": "a key, known by its hash, is what names its organization",
    "auth_service/external/repository.py:email_exists": "e-mail addresses are unique in the whole installation",
    "auth_service/grants/repository.py:find_grant": "a service names a grant of its own, which names its organization",
    "auth_service/grants/repository.py:find_leave": "a service names a grant of its own, which names its organization",
    "auth_service/grants/repository.py:delete_expired_grants": "clears away what has expired, of all organizations",
    "auth_service/invitations/repository.py:find_valid": "an invitation, known by its hash, names its organization",
    "auth_service/invitations/repository.py:accept": "the invitation that was just found by its hash",
    "auth_service/organizations/repository.py:list_own": "a user's own organizations, whichever they are",
    "auth_service/sessions/repository.py:find_session_of_token": "a refresh token, known by its hash, names it",
    "auth_service/sessions/repository.py:lock_family": "a refresh token, known by its hash, names it",
    "auth_service/sessions/repository.py:list_sessions": "a user's own logins, in whichever organization",
    "auth_service/sessions/repository.py:end_session": "a user's own logins, in whichever organization",
    "auth_service/sessions/repository.py:delete_expired_sessions": "clears away what has expired, of everybody",
    "auth_service/users/repository.py:find_person": "whom an admin adds as a member is known elsewhere until then",
    "auth_service/users/repository.py:is_last_owner": "no organization of theirs may be left without an owner",
    "auth_service/tokens/repository.py:find_candidate": "a login names a user before anybody knows the organization",
    "auth_service/users/repository.py:username_exists": "usernames are unique in the whole installation",
    "auth_service/users/repository.py:change_password_hash": "a user's own password, which no organization has",
    "chat_service/generations/repository.py:renew_leases": "a replica renews what it owns, whosever it is",
    "chat_service/generations/repository.py:finish": "a replica ends what it owns, whosever it is",
    "chat_service/generations/repository.py:find_answers": "a replica tells readers how what they may read has ended",
    "chat_service/generations/repository.py:take_expired": "sweeps up after dead replicas, for all organizations",
    "chat_service/generations/repository.py:bury": "sweeps up after dead replicas, for all organizations",
    "chat_service/generations/repository.py:said_so_far": "a part of statements: of the messages that they choose",
}
"""What works across organizations, and why it may. Everything that a caller's id reaches stays out of here."""


def found() -> set[str]:
    return {
        f"{name_of(path).partition('/')[2]}:{function}"
        for path in sources()
        for function in violations(path.read_text())
    }


def test_every_statement_on_rows_of_an_organization_says_of_which() -> None:
    assert found() - ALLOWED.keys() == set(), "filter by organization_id, or say in ALLOWED why not"


def test_nothing_is_allowed_that_is_not_there() -> None:
    assert ALLOWED.keys() - found() == set()


def test_the_walk_knows_the_tables_of_organizations() -> None:
    assert {"User", "ApiKey", "LoginSession", "Membership", "AuditEvent", "Conversation", "Message"} <= set(
        TENANT_COLUMN
    )


MODELS = """
from sqlalchemy import delete, func, insert, select, text, update
from auth_service.api_keys.models import ApiKey
from auth_service.organizations.models import Membership, Organization
from auth_service.users.models import User as Person
"""
ONE = "async def f(session, one): return await session.execute({})"
BAD = {
    "no condition": ONE.format("select(ApiKey)"),
    "only the id": ONE.format("select(ApiKey).where(ApiKey.id == one)"),
    "one column": ONE.format("select(ApiKey.name).where(ApiKey.id == one)"),
    "by primary key": "async def f(session, key_id): return await session.get(ApiKey, key_id)",
    "another name": ONE.format("select(Person).where(Person.id == one)"),
    "update": ONE.format("update(ApiKey).where(ApiKey.id == one).values(name='x')"),
    "delete": ONE.format("delete(ApiKey).where(ApiKey.id == one)"),
    "insert": ONE.format("insert(ApiKey).values(name='x')"),
    "text": ONE.format("text('SELECT * FROM auth.api_keys')"),
    "only joined": """
        async def f(session, key_id):
            query = select(ApiKey).join(Membership, Membership.organization_id == ApiKey.organization_id)
            return await session.scalar(query.where(ApiKey.id == key_id))
    """,
    "not equal": """
        async def f(session, organization_id):
            return await session.scalars(select(ApiKey).where(ApiKey.organization_id != organization_id))
    """,
    "an update that sets it": """
        async def f(session, key_id, organization_id):
            await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(organization_id=organization_id))
    """,
    "the second of two": """
        async def f(session, key_id, organization_id):
            first = await session.scalar(select(ApiKey).where(ApiKey.organization_id == organization_id))
            return await session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.id != first.id))
    """,
    "the first of two": """
        async def f(session, key_id, organization_id):
            first = await session.scalar(select(ApiKey).where(ApiKey.id == key_id))
            ours = ApiKey.organization_id == organization_id
            await session.execute(delete(ApiKey).where(ours, ApiKey.id == first.id))
    """,
    "in a private function": """
        async def f(session, key_id):
            return await _find(session, ApiKey.id == key_id)
        async def _find(session, condition):
            return await session.scalar(select(ApiKey).where(condition))
    """,
    "in a private function that a statement contains": """
        async def f(session, key_id, caller):
            ours = ApiKey.organization_id == caller.organization_id
            return await session.scalars(select(ApiKey).where(ours, ApiKey.id.in_(_ids(key_id))))
        def _ids(key_id):
            return select(ApiKey.id).where(ApiKey.id == key_id)
    """,
    "in a private function, beside what its caller filters": """
        async def f(session, key_id, caller):
            ours = ApiKey.organization_id == caller.organization_id
            return await session.scalar(select(ApiKey).where(ours)), await _find(session, key_id)
        async def _find(session, key_id):
            return await session.scalar(select(ApiKey).where(ApiKey.id == key_id))
    """,
    "in a private function, beside what it filters": """
        async def f(session, key_id, caller):
            return await _find(session, key_id, ApiKey.organization_id == caller.organization_id)
        async def _find(session, key_id, condition):
            await session.execute(select(ApiKey).where(condition))
            return await session.scalar(select(ApiKey).where(ApiKey.id == key_id))
    """,
    "in a private function, filtered after it was executed": """
        async def f(session, key_id, caller):
            found = await _find(session, key_id)
            return [key for key in found if key.organization_id == caller.organization_id]
        async def _find(session, key_id):
            return await session.scalars(select(ApiKey).where(ApiKey.id == key_id))
    """,
    "in a method": """
        class Keys:
            async def f(self, key_id):
                return await self.session.scalar(select(ApiKey).where(ApiKey.id == key_id))
    """,
    "the organization itself": """
        async def f(session, name):
            return await session.scalar(select(Organization).where(Organization.name == name))
    """,
}  # fmt: skip
GOOD = {
    "where": """
        async def f(session, organization_id):
            return await session.scalars(select(ApiKey).where(ApiKey.organization_id == organization_id))
    """,
    "step by step": """
        async def f(session, user_id, *, caller):
            query = select(ApiKey).where(caller.organization_id == ApiKey.organization_id)
            if user_id is not None:
                query = query.where(ApiKey.user_id == user_id)
            return await session.scalars(query.limit(1))
    """,
    "later": """
        async def f(session, caller):
            query = select(ApiKey)
            return await session.scalars(query.where(ApiKey.organization_id == caller.organization_id))
    """,
    "a condition with a name": """
        async def f(session, caller):
            ours = ApiKey.organization_id == caller.organization_id, ApiKey.user_id == caller.user_id
            return await session.scalars(select(ApiKey).where(*ours))
    """,
    "a joined table": """
        async def f(session, caller):
            query = select(Person).join(Membership, Membership.user_id == Person.id)
            return await session.scalars(query.where(Membership.organization_id == caller.organization_id))
    """,
    "in a private function": """
        async def f(session, key_id, caller):
            return await _find(session, (ApiKey.id == key_id) & (ApiKey.organization_id == caller.organization_id))
        async def _find(session, condition):
            return await session.scalar(select(ApiKey).where(condition))
    """,
    "in a private function, its condition with a name": """
        async def f(session, key_id, caller):
            ours = ApiKey.organization_id == caller.organization_id
            return await _find(session, condition=ours)
        async def _find(session, *, condition):
            return await session.scalar(select(ApiKey).where(condition))
    """,
    "what a private function returns": """
        async def f(session, key_id, caller):
            return await session.scalar(_keys(key_id).where(ApiKey.organization_id == caller.organization_id).limit(1))
        def _keys(key_id):
            return select(ApiKey).where(ApiKey.id == key_id)
    """,
    "what a private function returns, step by step": """
        async def f(session, key_id, caller):
            query = _keys(key_id)
            query = query.where(ApiKey.organization_id == caller.organization_id)
            return await session.scalar(query)
        def _keys(key_id):
            return select(ApiKey).where(ApiKey.id == key_id)
    """,
    "insert": "async def f(session, caller): await session.execute(insert(ApiKey).values(organization_id=caller.id))",
    "the organization itself": """
        async def f(session, caller):
            return await session.scalar(select(Organization).where(Organization.id == caller.organization_id))
    """,
    "no table": "async def f(session): return await session.scalar(select(func.now()))",
    "a dictionary": "def f(headers): return headers.get('x')",
}


@pytest.mark.parametrize("name", BAD)
def test_a_planted_violation_is_found(name: str) -> None:
    assert violations(MODELS + textwrap.dedent(BAD[name])) == ["f"]


@pytest.mark.parametrize("name", GOOD)
def test_what_names_an_organization_is_not_accused(name: str) -> None:
    assert violations(MODELS + textwrap.dedent(GOOD[name])) == []
