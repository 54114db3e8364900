"""Makes, changes, rotates and ends API keys: a key never may more than whoever makes it."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.api_keys import repository
from auth_service.api_keys.errors import ApiKeyEnded, ApiKeyNotFound, LimitedKey, OwnerNotFound, ScopesNotAllowed
from auth_service.api_keys.models import ApiKey
from auth_service.api_keys.schemas import ApiKeyChange, ApiKeyCreate, ApiKeyCreated, ApiKeyView, KeyLimits, policy_of
from auth_service.audit.service import Origin, record
from auth_service.exchange.errors import SubjectTokenRefused
from auth_service.exchange.schemas import ExchangeRequest
from auth_service.exchange.service import Exchanger
from auth_service.organizations.roles import ROLES
from auth_service.organizations.service import ADMINISTER, administrator, allow_role
from auth_service.revocations.service import revoke
from auth_service.sessions.repository import lock_member
from auth_service.tokens.issuer import LIFE, TokenIssuer
from auth_service.tokens.schemas import Token
from auth_service.tokens.service import narrowed
from auth_service.users.repository import Member
from shared.auth import Principal
from shared.auth.api_keys import is_api_key, new_api_key
from shared.auth.policy import UNLIMITED
from shared.database import Sessions
from shared.errors import InsufficientScope
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor


def hashed(key: str) -> bytes:
    """What is kept of a key; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(key.encode()).digest()


class ApiKeyService:
    """Members see and change their own keys, admins those of their organization."""

    def __init__(self, session: AsyncSession, *, by: Principal, origin: Origin) -> None:
        self._session = session
        self._by = by
        self._origin = origin

    async def create(self, asked: ApiKeyCreate) -> ApiKeyCreated:
        """Raises InsufficientScope, LimitedKey, OwnerNotFound, OwnerRequired, ScopesNotAllowed."""
        await self._check_may_manage()
        owner = await self._owner(asked.user_id or self._by.user_id)
        grantable = self._grantable(owner)
        scopes = asked.scopes or [scope for scope in grantable if scope != ADMINISTER]
        _check_scopes(scopes, grantable)
        return await self._add(
            ApiKey(
                id=new_id("key"),
                organization_id=self._by.organization_id,
                user_id=owner.user.id,
                name=asked.name,
                scopes=sorted(set(scopes)),
                expires_at=asked.expires_at,
                **_limits(asked),
            ),
            action="api_key.create",
        )

    async def page(self, *, user_id: str | None, cursor: str | None, limit: int) -> Page[ApiKeyView]:
        """Newest first. Raises MalformedRequest for a cursor that is not ours."""
        before = decode_cursor(cursor, parts=1)[0] if cursor else None
        if not await self._is_admin():
            user_id = self._by.user_id
        keys = await repository.list_api_keys(
            self._session,
            organization_id=self._by.organization_id,
            user_id=user_id,
            before=before,
            limit=limit + 1,
        )
        more = encode_cursor(keys[limit - 1].id) if len(keys) > limit else None
        return Page(data=[ApiKeyView.of(key) for key in keys[:limit]], next_cursor=more)

    async def read(self, key_id: str) -> ApiKeyView:
        """Raises ApiKeyNotFound."""
        return ApiKeyView.of(await self._find(key_id))

    async def change(self, key_id: str, asked: ApiKeyChange) -> ApiKeyView:
        """In force at the next exchange, within 60 s. Raises as `create` does, ApiKeyNotFound, ApiKeyEnded."""
        await self._check_may_manage()
        key, owner = await self._find_with_owner(key_id)
        _check_lives(key)
        fields = asked.model_fields_set
        if asked.name is not None:
            key.name = asked.name
        if asked.scopes is not None:
            _check_scopes(asked.scopes, self._grantable(owner))
            key.scopes = sorted(set(asked.scopes))
        if "expires_at" in fields:
            key.expires_at = asked.expires_at
        for name, value in _limits(asked).items():
            if name in fields or ("budget" in fields and name.startswith("budget_")):
                setattr(key, name, value)
        await self._session.flush()
        record(self._session, "api_key.update", origin=self._origin, by=self._by, target=key.id, fields=sorted(fields))
        return ApiKeyView.of(key)

    async def rotate(self, key_id: str, *, overlap: timedelta) -> ApiKeyCreated:
        """A new key with the settings of the old one, which ends after `overlap`. Raises as `change` does."""
        await self._check_may_manage()
        old, owner = await self._find_with_owner(key_id)
        _check_lives(old)
        if old.rotated_to is not None:
            raise ApiKeyEnded("This key has a successor already: rotate that one.")
        _check_scopes(set(old.scopes) & set(ROLES[owner.role]), self._by.scopes)  # whoever rotates it holds it
        successor = ApiKey(id=new_id("key"), **{name: getattr(old, name) for name in INHERITED})
        old.rotated_to = successor.id
        now = datetime.now(UTC)
        if overlap:
            old.expires_at = min(now + overlap, old.expires_at or datetime.max.replace(tzinfo=UTC))
        else:
            old.revoked_at = now
        created = await self._add(successor, action="api_key.rotate", rotated_from=old.id)
        if not overlap:
            await revoke(self._session, old.id)
        return created

    async def revoke(self, key_id: str) -> None:
        """In force everywhere as soon as the feed is followed. A key may always end itself. Raises ApiKeyNotFound."""
        if key_id != self._by.session_id:
            await self._check_may_manage()
        key = await self._find(key_id, lock=True)
        if key.revoked_at is not None:
            return
        key.revoked_at = datetime.now(UTC)
        record(self._session, "api_key.revoke", origin=self._origin, by=self._by, target=key.id)
        await revoke(self._session, key.id)

    async def _add(self, key: ApiKey, *, action: str, **details: Any) -> ApiKeyCreated:
        secret = new_api_key()
        key.key_hash, key.last_four = hashed(secret), secret[-4:]
        repository.add_api_key(self._session, key)
        await self._session.flush()
        await self._session.refresh(key)
        details |= {"owner": key.user_id, "scopes": key.scopes}
        record(self._session, action, origin=self._origin, by=self._by, target=key.id, **details)
        return ApiKeyCreated.showing(key, secret)

    async def _find(self, key_id: str, *, lock: bool = False) -> ApiKey:
        key = await repository.find_api_key(
            self._session,
            key_id,
            organization_id=self._by.organization_id,
            user_id=None if await self._is_admin() else self._by.user_id,
            lock=lock,
        )
        if key is None:
            raise ApiKeyNotFound
        return key

    async def _find_with_owner(self, key_id: str) -> tuple[ApiKey, Member]:
        """Both locked, in the order in which everybody locks them."""
        found = await self._find(key_id)
        owner = await self._owner(found.user_id)
        return await self._find(key_id, lock=True), owner

    async def _is_admin(self) -> bool:
        """As of now: a token tells who they were."""
        if ADMINISTER not in self._by.scopes:
            return False
        try:
            await administrator(self._session, self._by)
        except InsufficientScope:
            return False
        return True

    async def _check_may_manage(self) -> None:
        """A leaked key must not be able to breed, nor to lift its own limits."""
        if not self._by.is_login and not await self._is_admin():
            raise InsufficientScope(ADMINISTER)
        if self._by.policy != UNLIMITED:
            raise LimitedKey

    def _grantable(self, owner: Member) -> list[str]:
        """What both the owner and the caller may."""
        return [scope for scope in ROLES[owner.role] if scope in self._by.scopes]

    async def _owner(self, user_id: str) -> Member:
        """Who holds a key is its owner. So an administrator acts for others as for their accounts: for those that
        belong to the organization, and for an owner only as an owner.

        Raises OwnerNotFound, OwnerRequired, InsufficientScope, Unauthorized.
        """
        actor = None if user_id == self._by.user_id else await administrator(self._session, self._by)
        owner = await lock_member(self._session, user_id, organization_id=self._by.organization_id)
        if owner is None or owner.user.disabled_at is not None:
            raise OwnerNotFound
        if actor is not None:
            if owner.user.organization_id != self._by.organization_id:
                raise OwnerNotFound
            allow_role(owner.role, by=actor)
        return owner


class ApiKeyExchanger(Exchanger):
    """Gives an access token for an API key, as the key and its owner are at that moment."""

    def __init__(self, sessions: Sessions, *, issuer: TokenIssuer) -> None:
        self._sessions = sessions
        self._issuer = issuer

    async def exchange(self, asked: ExchangeRequest, *, service: str, origin: Origin) -> Token:  # noqa: ARG002 # every use of a key would bury the audit
        """The token never outlives the key. Raises SubjectTokenRefused, InvalidScope."""
        if not is_api_key(asked.subject_token):
            raise SubjectTokenRefused("This is not an API key.")
        async with self._sessions.begin() as session:
            live = await repository.find_live_key(session, hashed(asked.subject_token))
            if live is None or live.seconds_left == 0:
                raise SubjectTokenRefused("The API key is unknown, or does not hold any more.")
            token = self._issue(live, asked.scope)
        if live.is_due:
            async with self._sessions.begin() as session:  # of its own, as the other shares its lock with others
                await repository.note_use(session, live.key)
        return token

    def _issue(self, live: repository.LiveKey, scope: str | None) -> Token:
        key = live.key
        return self._issuer.issue(
            key.user_id,
            organization_id=key.organization_id,
            scopes=narrowed([each for each in ROLES[live.role] if each in key.scopes], scope),
            session_id=key.id,
            life=LIFE if live.seconds_left is None else min(LIFE, live.seconds_left),
            policy=policy_of(key),
        )


INHERITED = (
    "organization_id",
    "user_id",
    "name",
    "scopes",
    "allowed_models",
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "budget_usd",
    "budget_period",
    "expires_at",
)
"""What a key passes on to its successor."""


def _limits(asked: KeyLimits) -> dict[str, Any]:
    return {
        "allowed_models": None if asked.allowed_models is None else list(dict.fromkeys(asked.allowed_models)),
        "requests_per_minute": asked.requests_per_minute,
        "tokens_per_minute": asked.tokens_per_minute,
        "concurrent_requests": asked.concurrent_requests,
        "budget_usd": asked.budget.usd if asked.budget else None,
        "budget_period": asked.budget.period if asked.budget else None,
    }


def _check_scopes(wanted: Iterable[str], allowed: Collection[str]) -> None:
    if excess := sorted(set(wanted) - set(allowed)):
        raise ScopesNotAllowed(f"The key may not have: {', '.join(excess)}.")


def _check_lives(key: ApiKey) -> None:
    if key.revoked_at is not None:
        raise ApiKeyEnded("This key was revoked.")
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise ApiKeyEnded("This key has expired.")
