"""Runs a completion, and writes its answer the way its client speaks."""

import math
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import msgspec
from opentelemetry.context import Context

from llm_service.accounting.headers import answer_headers
from llm_service.accounting.service import Account, Accounts
from llm_service.accounting.worst import Asked
from llm_service.cache.keys import key_of
from llm_service.cache.service import LONGEST_WAIT, AnswerCache, Opened, Wanted, wanted_ttl
from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Ended
from llm_service.catalogue.service import Catalogue, Target
from llm_service.completions.writers import Writer
from llm_service.config import ContextConfig
from llm_service.context.fitting import Fitter, wanted_context
from llm_service.dialects.ingress import Ingress
from llm_service.errors import ModelNotFound, ProviderError, for_client
from llm_service.providers.base import Incoming
from llm_service.reload import LiveCatalogue
from llm_service.routing.attempts import Attempt
from llm_service.routing.engine import AllFailed, Engine, Run, deadline_of
from llm_service.routing.observed import Observed
from llm_service.routing.plan import Plan, plan
from llm_service.routing.refusals import failures, refusal
from llm_service.routing.summaries import Summaries
from llm_service.routing.timers import Deadline
from shared.auth import Principal


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants, and what has been done about it."""

    ingress: Ingress
    principal: Principal
    trace: Context | None = None
    request_id: str = ""
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    """Of the answer, and of what had to be asked for it; none where the answer was kept from before."""


class WholeAnswer(msgspec.Struct, frozen=True):
    body: bytes
    headers: dict[str, str]


class Completions:
    """Plans a request, runs its attempts, gives the one that committed to a writer, and settles what was used."""

    def __init__(self, live: LiveCatalogue, observed: Observed, accounts: Accounts, cache: AnswerCache) -> None:
        self._live = live
        self._observed = observed
        self._accounts = accounts
        self._cache = cache
        self._engine = Engine(observed)

    async def whole(self, order: Order) -> WholeAnswer:
        """Raises what the client is to be told: ModelNotAllowed, ModelNotFound, LimitReached, RejectedRequest, …"""
        dialect = order.ingress.dialect
        async with self._run(order) as (account, committed, run):
            relayed = committed.relays(dialect, stream=False)
            answer, body = Answer(), b""
            try:
                while (piece := await run.next()) is not None:
                    if relayed:
                        body = piece.raw or body
                        continue
                    for event in piece.events:
                        answer.add(event)
            except ProviderError as error:
                raise for_client(error, attempts=failures(order.attempts)) from error
            if not relayed:
                body = msgspec.json.encode(dialect.render_answer(answer))
            await account.complete()
        return WholeAnswer(body, answer_headers(account, committed))

    async def streamed(self, order: Order, writer: Writer, *, headers: dict[str, str]) -> AsyncGenerator[bytes]:
        """Yields frames from when an attempt commits; fills `headers` first. What fails later is the last frame.

        Raises as `whole` does, before the first frame.
        """
        async with self._run(order) as (account, committed, run):
            headers.update(answer_headers(account, committed))
            if frame := writer.begin(committed):
                yield frame
            try:
                while (piece := await run.next()) is not None:
                    if piece.events and isinstance(piece.events[-1], Ended):
                        await account.complete()  # who has read the end may ask again at once
                    if frame := writer.write(piece):
                        yield frame
            except ProviderError as error:
                told = for_client(error, attempts=failures(order.attempts))
                await account.fail(told)
                yield writer.fail(told)
            else:
                await account.complete()
                yield writer.end(cost_usd=account.cost_usd)

    @asynccontextmanager
    async def _run(self, order: Order) -> AsyncGenerator[tuple[Account, Attempt, Incoming]]:
        """The attempt that committed, and the answer's pieces; the configuration of the start holds to the end.

        Whatever becomes of the block, what was used is settled when it is left.
        """
        with self._live.use() as catalogue:
            planned = await plan(order.ingress, catalogue, self._observed, policy=order.principal.policy)
            context = _context(order.ingress, catalogue, planned)
            async with await self._account(order, catalogue, planned, context) as account:
                wanted = self._wanted(order, catalogue, planned, keeps=not account.lowered)
                asking = partial(self._asked, order, catalogue, planned, context, account)
                async with asking() if wanted is None else self._cache.through(wanted, asking) as (committed, run):
                    if committed.age is not None:
                        account.cached, account.target = True, committed.target
                    yield account, committed, run

    async def _account(
        self, order: Order, catalogue: Catalogue, planned: Plan, context: ContextConfig | None
    ) -> Account:
        asked = Asked(
            principal=order.principal,
            request_id=order.request_id,
            model=order.ingress.model,
            stream=order.ingress.stream,
            body=lambda: order.ingress.body,
            count=order.ingress.tokens_for,
            assured=order.ingress.routing.assured,
            summarizers=() if context is None else await self._summarizers(order, catalogue, context),
        )
        return await self._accounts.open(asked, planned.targets, order.attempts)

    async def _summarizers(self, order: Order, catalogue: Catalogue, context: ContextConfig) -> tuple[Target, ...]:
        if context.strategy != "summarize":
            return ()
        try:
            resolved = await catalogue.resolve(context.summary_model or order.ingress.model)
        except ModelNotFound:
            return ()
        return tuple(option.target for step in resolved.steps for option in step)

    def _wanted(self, order: Order, catalogue: Catalogue, planned: Plan, *, keeps: bool) -> Wanted | None:
        """What may be answered from what is kept. Who may not use the model has been told so before, by the plan."""
        ingress, route = order.ingress, planned.route
        ttl = wanted_ttl(ingress, route.cache if route else None, catalogue.config.defaults.cache)
        if ttl is None:
            return None
        return Wanted(
            key=key_of(ingress, planned.targets, organization_id=order.principal.organization_id),
            ttl=ttl,
            targets=planned.targets,
            dialect=ingress.dialect,
            keeps=keeps,
            longest_wait=min(LONGEST_WAIT, (ingress.routing.deadline_ms or math.inf) / 1000),
        )

    def _asked(
        self, order: Order, catalogue: Catalogue, planned: Plan, context: ContextConfig | None, account: Account
    ) -> "_Asked":
        run = self._engine.start(
            order.ingress,
            planned,
            order.attempts,
            timeouts=catalogue.config.timeouts,
            parent=order.trace,
            fitter=None if context is None else self._fitter(order, catalogue, context),
            output_limit=account.output_limit,
        )
        return _Asked(run, order, catalogue)

    def _fitter(self, order: Order, catalogue: Catalogue, context: ContextConfig) -> Fitter:
        summaries = Summaries(
            engine=self._engine,
            catalogue=catalogue,
            observed=self._observed,
            attempts=order.attempts,
            model=context.summary_model or order.ingress.model,
            deadline=Deadline(deadline_of(order.ingress, catalogue.config.timeouts)),
            trace=order.trace,
        )
        return Fitter(order.ingress, context, summaries.summarize)


class _Asked(AbstractAsyncContextManager[Opened]):
    """The providers asked for an answer; leaving the block ends their work."""

    def __init__(self, run: Run, order: Order, catalogue: Catalogue) -> None:
        self._run = run
        self._order = order
        self._catalogue = catalogue

    async def __aenter__(self) -> Opened:
        """Raises what the client is to be told where none has an answer."""
        try:
            return await self._run.commit(), self._run
        except AllFailed as failure:
            raise refusal(self._order.attempts, self._catalogue, model=self._order.ingress.model) from failure
        except BaseException:
            await self._run.close()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._run.close()


def _context(ingress: Ingress, catalogue: Catalogue, planned: Plan) -> ContextConfig | None:
    route = planned.route
    return wanted_context(ingress, route.context if route else None, catalogue.config.defaults.context)
