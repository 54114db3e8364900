"""Runs a completion, and writes its answer the way its client speaks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Piece
from llm_service.catalogue.service import Catalogue
from llm_service.completions.writers import Writer
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError, for_client
from llm_service.routing.attempts import Attempt
from llm_service.routing.engine import AllFailed, Engine
from llm_service.routing.plan import plan
from shared.auth import Principal

READABLE = "!#$&'()*+,/:;=?@[] "
"""What names keep in a header; the rest is percent-encoded, as a provider may call its models anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a client wants, and what has been done about it."""

    ingress: Ingress
    principal: Principal
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def failures(self) -> list[dict[str, object]]:
        return [attempt.as_json() for attempt in self.attempts if attempt.error is not None]


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    body: bytes
    headers: dict[str, str]


class Completions:
    """Plans a request, runs its attempts, and gives the one that committed to a writer."""

    def __init__(self, catalogue: Catalogue, engine: Engine) -> None:
        self._catalogue = catalogue
        self._engine = engine

    async def whole(self, order: Order) -> WholeAnswer:
        """Raises what the client is to be told: ModelNotAllowed, ModelNotFound, RejectedRequest, Unavailable, …"""
        dialect = order.ingress.dialect
        async with aclosing(await self._run(order)) as run:
            committed = await self._committed(run, order)
            answer, raw = Answer(), b""
            try:
                async for piece in run:
                    assert isinstance(piece, Piece)
                    raw = piece.raw
                    for event in piece.events:
                        answer.add(event)
            except ProviderError as error:
                raise for_client(error, attempts=order.failures) from error
        relayed = committed.target.provider.dialect is dialect
        body = raw if relayed else msgspec.json.encode(dialect.render_answer(answer))
        return WholeAnswer(body, _headers(order))

    async def streamed(self, order: Order, writer: Writer, *, headers: dict[str, str]) -> AsyncGenerator[bytes]:
        """Yields frames from when an attempt commits; fills `headers` first. What fails later is the last frame.

        Raises as `whole` does, before the first frame.
        """
        async with aclosing(await self._run(order)) as run:
            committed = await self._committed(run, order)
            headers.update(_headers(order))
            if frame := writer.begin(committed.target):
                yield frame
            try:
                async for piece in run:
                    assert isinstance(piece, Piece)
                    if frame := writer.write(piece):
                        yield frame
            except ProviderError as error:
                yield writer.fail(for_client(error, attempts=order.failures))
            else:
                yield writer.end()

    async def _run(self, order: Order) -> AsyncGenerator[Attempt | Piece]:
        targets = await plan(order.ingress, self._catalogue, policy=order.principal.policy)
        return self._engine.run(order.ingress, targets, order.attempts)

    async def _committed(self, run: AsyncGenerator[Attempt | Piece], order: Order) -> Attempt:
        try:
            committed = await anext(run)
        except AllFailed as failure:
            errors = [attempt.error for attempt in order.attempts if attempt.error is not None]
            if all(error.kind is Kind.MODEL_UNKNOWN for error in errors):
                raise self._catalogue.not_found(order.ingress.model) from failure
            raise for_client(errors[-1], attempts=order.failures) from failure
        assert isinstance(committed, Attempt)
        return committed


def _headers(order: Order) -> dict[str, str]:
    """Of the attempt that committed, the last one."""
    attempts = order.attempts
    target = attempts[-1].target
    headers = {
        "x-synapscale-model": quote(target.model, safe=READABLE),
        "x-synapscale-provider": quote(target.provider.name, safe=READABLE),
        "x-synapscale-attempts": str(len(attempts)),
        "x-synapscale-fallback": "true" if target is not attempts[0].target else "false",
    }
    if dropped := attempts[-1].dropped:
        headers["x-synapscale-dropped"] = quote(", ".join(dropped), safe=READABLE)
    return headers
