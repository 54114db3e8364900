"""Reserves, renews, and charges for the dead. Settling is the ledger's: it is done with the rows that tell why."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import structlog

from llm_service.ledger.records import AttemptRecord, RequestRecord
from llm_service.ledger.repository import append_records
from llm_service.limits import repository
from llm_service.limits.errors import (
    BudgetExhausted,
    ConcurrentRequests,
    ExceedsLimit,
    LimitReached,
    TokensPerMinute,
    Unit,
)
from llm_service.limits.repository import About, Expired, Wanted, Window
from shared.auth import Principal
from shared.auth.policy import Policy
from shared.database import Sessions
from shared.events import Usage

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4
PASS_TIMEOUT = 5.0
FORGET_EVERY = 3600.0
BUDGET, TOKENS, SLOTS = "budget", "tokens_per_minute", "concurrent_requests"
REFUSALS: dict[str, type[LimitReached]] = {
    BUDGET: BudgetExhausted,
    TOKENS: TokensPerMinute,
    SLOTS: ConcurrentRequests,
}


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """On whose account. `session_id` is what the token was made for; `key_id` the API key behind it, if there is."""

    organization_id: str
    user_id: str
    session_id: str
    policy: Policy

    @classmethod
    def of(cls, principal: Principal) -> "Payer":
        return cls(
            organization_id=principal.organization_id,
            user_id=principal.user_id,
            session_id=principal.session_id,
            policy=principal.policy,
        )

    @property
    def key_id(self) -> str:
        return self.policy.key or (self.session_id if self.session_id.startswith("key_") else "")

    @property
    def subject(self) -> str:
        """Whose windows are spent from."""
        return self.key_id or self.session_id

    @property
    def limited(self) -> bool:
        policy = self.policy
        return bool(policy.budget or policy.tokens_per_minute or policy.concurrent_requests)


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may use at most; `usd` counts where the payer has a budget."""

    tokens: int
    usd: Decimal


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One limit, and what its window has left of it."""

    name: str
    """As API keys have it."""
    unit: Unit
    period: str
    limit: Decimal
    window: Window

    @property
    def remaining(self) -> Decimal:
        """What a request may reserve now."""
        return max(Decimal(0), self.limit - self.window.spent - self.window.reserved)


class Limits:
    """One per process. What it holds stays reserved while this process lives, and until it is let go."""

    def __init__(self, sessions: Sessions, *, lease: timedelta) -> None:
        self._sessions = sessions
        self.lease = lease
        self._held: set[UUID] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Limits"]:
        """Renews what is held, and charges what others left behind, while the block lasts."""
        lease = self.lease.total_seconds()
        tasks = [
            asyncio.create_task(_repeat(self.renew, every=lease / RENEWALS_PER_LEASE)),
            asyncio.create_task(_repeat(self.charge_expired, every=lease / RENEWALS_PER_LEASE)),
            asyncio.create_task(_repeat(self.forget, every=FORGET_EVERY)),
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def reserve(
        self, reservation_id: UUID, payer: Payer, worst: Worst, *, source: str, model: str, request_id: str
    ) -> None:
        """Raises BudgetExhausted, TokensPerMinute, ConcurrentRequests; ExceedsLimit where waiting would not help;
        DatabaseAway, for limits are not guessed."""
        wanted = _wanted(payer.policy, worst)
        for one in wanted:
            if one.amount > one.ceiling:
                raise ExceedsLimit(_name(one), unit=one.kind, asked=one.amount, limit=one.ceiling)
        about = About(
            user_id=payer.user_id,
            session_id=payer.session_id,
            key_id=payer.key_id,
            source=source,
            model=model,
            request_id=request_id,
            created_at=datetime.now(UTC),
        )
        async with self._sessions.begin() as session:
            refused = await repository.reserve(
                session,
                reservation_id,
                organization_id=payer.organization_id,
                subject=payer.subject,
                about=about,
                wanted=wanted,
                lease=self.lease,
            )
        if refused is not None:
            one = next(each for each in wanted if each.dimension == refused.dimension)
            raise REFUSALS[_name(one)](
                unit=one.kind,
                asked=one.amount,
                limit=one.ceiling,
                remaining=refused.remaining,
                retry_after=refused.retry_after,
            )

    async def left(self, payer: Payer) -> list[Left]:
        """Of each limit of the payer. Nothing is asked of the database for who has none. Raises DatabaseAway."""
        kept = _wanted(payer.policy, Worst(tokens=0, usd=Decimal(0)))
        if not kept:
            return []
        async with self._sessions() as session:
            found = await repository.read_windows(
                session,
                {one.dimension: one.period for one in kept},
                organization_id=payer.organization_id,
                subject=payer.subject,
            )
        return [
            Left(name=_name(one), unit=one.kind, period=one.period, limit=one.ceiling, window=found[one.dimension])
            for one in kept
        ]

    def hold(self, reservation_id: UUID) -> None:
        """It is this process's: its lease is renewed until it is let go."""
        self._held.add(reservation_id)

    def let_go(self, reservation_id: UUID) -> None:
        """It is settled, or about to be: its lease need not be renewed any more."""
        self._held.discard(reservation_id)

    async def renew(self) -> None:
        if held := set(self._held):
            async with self._sessions.begin() as session:
                await repository.renew(session, held, lease=self.lease)

    async def renew_one(self, reservation_id: UUID) -> None:
        """For an owner in another process."""
        async with self._sessions.begin() as session:
            await repository.renew(session, [reservation_id], lease=self.lease)

    async def charge_expired(self) -> None:
        """A reservation whose owner is silent is charged in full, and stands in the ledger as an estimate."""
        async with self._sessions.begin() as session:
            if expired := await repository.charge_expired(session):
                await append_records(session, [_lost(row) for row in expired])
        for row in expired:
            log.warning("a request was lost; what it had reserved is charged", id=str(row.id))

    async def forget(self) -> None:
        async with self._sessions.begin() as session:
            await repository.forget(session)


def _wanted(policy: Policy, worst: Worst) -> list[Wanted]:
    wanted = []
    if (budget := policy.budget) is not None:
        wanted.append(_one(f"{BUDGET}:{budget.period}", "usd", budget.period, worst.usd, budget.usd))
    if policy.tokens_per_minute is not None:
        wanted.append(_one(TOKENS, "tokens", "minute", worst.tokens, policy.tokens_per_minute))
    if policy.concurrent_requests is not None:
        wanted.append(_one(SLOTS, "slots", "total", 1, policy.concurrent_requests))
    return wanted


def _name(wanted: Wanted) -> str:
    """Of the limit, as API keys have it: each period of a budget is a dimension of its own."""
    return wanted.dimension.partition(":")[0]


def _one(dimension: str, kind: Unit, period: str, amount: Decimal | int, ceiling: Decimal | int) -> Wanted:
    return Wanted(dimension=dimension, kind=kind, period=period, amount=Decimal(amount), ceiling=Decimal(ceiling))


def _lost(expired: Expired) -> RequestRecord:
    """What is known of a request whose process was killed."""
    about = expired.about
    total_ms = (datetime.now(UTC) - about.created_at).total_seconds() * 1000
    attempt = AttemptRecord(
        number=1,
        model=about.model,
        provider="",
        result="lost",
        total_ms=total_ms,
        created_at=about.created_at,
        usage=Usage(input_tokens=int(expired.held.get("tokens", 0)), estimated=True),
        cost_usd=expired.held.get("usd"),
    )
    return RequestRecord(
        id=expired.id,
        organization_id=expired.organization_id,
        user_id=about.user_id,
        session_id=about.session_id,
        key_id=about.key_id,
        source=about.source,
        request_id=about.request_id,
        model_asked=about.model,
        stream=False,
        result="lost",
        total_ms=total_ms,
        overhead_ms=0,
        created_at=about.created_at,
        attempts=(attempt,),
    )


async def _repeat(work: Callable[[], Awaitable[None]], *, every: float) -> None:
    """Not in step with other replicas."""
    while True:
        await asyncio.sleep(every * random.uniform(0.8, 1.2))  # noqa: S311 # jitter, not a secret
        try:
            async with asyncio.timeout(PASS_TIMEOUT):
                await work()
        except Exception as error:  # whatever it is, the next pass tries again
            log.warning("limits are not looked after", work=work.__name__, error=repr(error))
