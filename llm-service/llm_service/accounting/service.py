"""What a request may use, and what it has used: reserved before the first attempt, settled whatever its end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Self

from llm_service.accounting.worst import Asked, WorstCase, output_limit
from llm_service.catalogue.service import Target
from llm_service.ledger.records import PREFIX, AttemptRecord, Entry, RequestRecord, Result, new_record_id
from llm_service.ledger.writer import Ledger
from llm_service.limits.errors import ExceedsLimit, LimitReached
from llm_service.limits.service import Limits, Payer, Worst
from llm_service.routing.attempts import Attempt
from shared.errors import DomainError
from shared.events import Usage

SOURCE = "llm"
MOST_LOWERINGS = 3
"""Of what an answer may have, as others take from what is left meanwhile; then the least of use is asked for."""


class Accounts:
    """Opens an account for each request. One per process."""

    def __init__(self, ledger: Ledger, limits: Limits, *, count: Callable[[RequestRecord], None]) -> None:
        """`count` is told of each request that has ended."""
        self._ledger = ledger
        self._count = count
        self._limits = limits
        self._stopping = False

    def process_ends(self) -> None:
        """What is cancelled from now on was interrupted: nobody left it."""
        self._stopping = True

    async def open(self, asked: Asked, targets: Sequence[Target], attempts: list[Attempt]) -> "Account":
        """`attempts` is the list that the engine fills. Nothing is asked of the database for who has no limits.

        Raises LimitReached, ExceedsLimit, PriceUnknown; DatabaseAway: limits are not guessed.
        """
        payer = Payer.of(asked.principal)
        account = Account(self, asked, payer, attempts)
        if payer.limited:
            await self._reserve(account, WorstCase(asked, targets, payer))
        return account

    def ended(self, result: Result) -> Result:
        return "interrupted" if result == "cancelled" and self._stopping else result

    async def close(self, entry: Entry, *, wait: bool) -> None:
        self._is_over(entry)
        if wait and entry.reserved:
            await self._ledger.written(entry)
        else:
            self._ledger.append(entry)

    def close_now(self, entry: Entry) -> None:
        self._is_over(entry)
        self._ledger.append(entry)

    def _is_over(self, entry: Entry) -> None:
        self._limits.let_go(entry.id)
        if entry.record is not None:
            self._count(entry.record)

    async def _reserve(self, account: "Account", worst: WorstCase) -> None:
        """What the request may use at most; where that does not fit, and the client leaves it to us how long an answer
        may be, what does fit."""
        most, lowered = None, 0
        while True:
            try:
                await self._take(account, worst.at(most))
            except (LimitReached, ExceedsLimit) as refusal:
                if refusal.unit == "slots" or not worst.open_ended or most == worst.least:
                    raise
                lowered += 1
                fits = worst.fitting(refusal.unit, refusal.remaining, below=most)
                most = fits if lowered <= MOST_LOWERINGS else worst.least
            else:
                account.lowered = most is not None
                account.most_output = worst.longest if most is None and worst.bounded else most
                return

    async def _take(self, account: "Account", worst: Worst) -> None:
        """A client that leaves meanwhile leaves no reservation behind."""
        asked = account.asked
        reserving = asyncio.create_task(
            self._limits.reserve(
                account.id, account.payer, worst, source=SOURCE, model=asked.model, request_id=asked.request_id
            )
        )
        try:
            await asyncio.shield(reserving)
        except asyncio.CancelledError:
            reserving.add_done_callback(lambda done: self._give_back(account, done))
            raise
        account.reserved = True
        self._limits.hold(account.id)

    def _give_back(self, account: "Account", reserving: "asyncio.Task[None]") -> None:
        if not reserving.cancelled() and reserving.exception() is None:
            self.close_now(Entry(id=account.id, reserved=True))


class Account:
    """One request's. Leaving its block closes it, with what was observed; `complete` may do so before."""

    __slots__ = (
        *("accounts", "asked", "attempts", "cached", "closed", "cost_usd", "created_at", "id", "lowered"),
        *("most_output", "overhead", "payer", "reserved", "started", "target"),
    )

    def __init__(self, accounts: Accounts, asked: Asked, payer: Payer, attempts: list[Attempt]) -> None:
        self.accounts = accounts
        self.asked = asked
        self.payer = payer
        self.attempts = attempts
        self.id = new_record_id()
        self.started = time.monotonic()
        self.created_at = datetime.now(UTC)
        self.reserved = False
        self.most_output: int | None = None
        """Tokens of one choice for which there is room; None where nothing has to be held to that."""
        self.lowered = False
        """Whether there was no room for the longest answer."""
        self.cached = False
        """Whether the answer came from our cache, once from `target`: then nothing was spent."""
        self.target: Target | None = None
        self.closed = False
        self.cost_usd: Decimal | None = None
        """Known when the account is closed, if the price is."""
        self.overhead: float | None = None
        """Of the closed account."""

    @property
    def name(self) -> str:
        """Of the request in the ledger, for `GET /api/llm/requests/{id}`."""
        return PREFIX + self.id.hex

    def output_limit(self, target: Target) -> int | None:
        """Tokens of one choice that `target` may be asked for at most; None leaves it to the client and the model."""
        return None if self.most_output is None else output_limit(target, most=self.most_output)

    @property
    def overhead_ms(self) -> float:
        """Since the request came in, but for the time that providers took."""
        if self.overhead is not None:
            return self.overhead
        elapsed = (time.monotonic() - self.started) * 1000
        return round(max(0.0, elapsed - sum(_ms(attempt) for attempt in self.attempts)), 1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.closed:
            return
        match error:
            case None:
                await self.complete()
            case DomainError() | Exception():
                code = error.code if isinstance(error, DomainError) else "internal_error"
                await self._close("failed", error=code, wait=True)
            case _:  # cancelled, or the generator was closed: there is no time to wait
                self.closed = True
                self.accounts.close_now(self._entry(self.accounts.ended("cancelled"), error=None))

    async def complete(self) -> None:
        """The answer is complete; before its last byte is sent, so that the next request finds this one settled."""
        await self._close("completed", error=None, wait=True)

    async def fail(self, error: DomainError) -> None:
        """The answer has broken off."""
        await self._close("failed", error=error.code, wait=True)

    async def _close(self, result: Result, *, error: str | None, wait: bool) -> None:
        if self.closed:
            return
        self.closed = True
        await self.accounts.close(self._entry(result, error=error), wait=wait)

    def _entry(self, result: Result, *, error: str | None) -> Entry:
        elapsed_ms = (time.monotonic() - self.started) * 1000
        self.overhead = self.overhead_ms
        attempts = tuple([self._attempt(number, result) for number in range(len(self.attempts))])
        answered = self.attempts[-1].target if self.attempts and result == "completed" else self.target
        record = RequestRecord(
            id=self.id,
            organization_id=self.payer.organization_id,
            user_id=self.payer.user_id,
            session_id=self.payer.session_id,
            key_id=self.payer.key_id,
            source=SOURCE,
            request_id=self.asked.request_id,
            model_asked=self.asked.model,
            model=answered.model if answered else "",
            provider=answered.provider.name if answered else "",
            stream=self.asked.stream,
            result=result,
            error=error,
            cached=self.cached,
            first_content_ms=self._first_content_ms(),
            total_ms=elapsed_ms,
            overhead_ms=self.overhead,
            created_at=self.created_at,
            attempts=attempts,
        )
        self.cost_usd = record.cost_usd
        return Entry(id=self.id, record=record, reserved=self.reserved)

    def _first_content_ms(self) -> float | None:
        """From the request's start: what attempts before the last one took is part of it."""
        if not self.attempts or (first := self.attempts[-1].first_content_ms) is None:
            return None
        return (self.attempts[-1].started_at - self.created_at.timestamp()) * 1000 + first

    def _attempt(self, number: int, result: Result) -> AttemptRecord:
        attempt = self.attempts[number]
        ended: Result = result if number == len(self.attempts) - 1 else "failed"
        if attempt.result == "skipped" or (attempt.purpose == "summary" and attempt.result == "completed"):
            ended = attempt.result
        usage = self._usage(attempt, ended)
        prices = attempt.target.facts.prices
        cost = Decimal(0) if usage is None else None if prices is None else prices.cost(usage)
        return AttemptRecord(
            number=number + 1,
            model=attempt.target.model,
            provider=attempt.target.provider.name,
            key=attempt.key,
            result=ended,
            error=attempt.error.kind.value if attempt.error else None,
            status=attempt.error.status if attempt.error else None,
            usage=usage or Usage(),
            cost_usd=cost,
            first_content_ms=attempt.first_content_ms,
            total_ms=_ms(attempt),
            created_at=datetime.fromtimestamp(attempt.started_at, UTC),
        )

    def _usage(self, attempt: Attempt, result: Result) -> Usage | None:
        """What the provider counted; where it did not come to that, what was said so far, as an estimate.

        None where an attempt said nothing: providers charge for no refusal and no failure. A request that was sent
        and then left is none of these: its input is read.
        """
        if attempt.usage is not None and result == "completed":
            return attempt.usage
        begun = (attempt.begun or attempt.sent) and result in ("completed", "cancelled", "interrupted")
        if not attempt.said and not begun:
            return None
        counted = attempt.usage is not None
        return attempt.estimated_usage(input_tokens=0 if counted else self.asked.count(attempt.target.provider.dialect))


def _ms(attempt: Attempt) -> float:
    """Its whole time, up to now where it goes on."""
    return (time.time() - attempt.started_at) * 1000 if attempt.total_ms is None else attempt.total_ms
