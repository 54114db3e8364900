"""Runs a completion, and writes its answer the way its client speaks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Piece
from llm_service.catalogue.service import Catalogue
from llm_service.completions.writers import Writer
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError, for_client
from llm_service.routing.engine import AllFailed, Committed, Engine
from llm_service.routing.plan import plan
from shared.auth import Policy

READABLE = "!#$&'()*+,/:;=?@[] "
"""What names keep in a header; the rest is percent-encoded, as a provider may call its models anything."""


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    body: bytes
    headers: dict[str, str]


class Completions:
    """Plans a request, runs its attempts, and gives the one that committed to a writer."""

    def __init__(self, catalogue: Catalogue, engine: Engine) -> None:
        self._catalogue = catalogue
        self._engine = engine

    async def whole(self, ingress: Ingress, *, policy: Policy) -> WholeAnswer:
        """Raises what the client is to be told: ModelNotAllowed, ModelNotFound, RejectedRequest, Unavailable, …"""
        targets = await plan(ingress, self._catalogue, policy=policy)
        async with aclosing(self._engine.run(ingress, targets)) as run:
            committed = await self._committed(run, ingress)
            answer, raw = Answer(), b""
            try:
                async for piece in run:
                    assert isinstance(piece, Piece)
                    raw = piece.raw
                    for event in piece.events:
                        answer.add(event)
            except ProviderError as error:
                raise for_client(error, attempts=committed.failed) from error
        relayed = committed.target.provider.dialect is ingress.dialect
        body = raw if relayed else msgspec.json.encode(ingress.dialect.render_answer(answer))
        return WholeAnswer(body, _headers(committed))

    async def streamed(
        self, ingress: Ingress, writer: Writer, *, policy: Policy, headers: dict[str, str]
    ) -> AsyncGenerator[bytes]:
        """Yields frames from when an attempt commits; fills `headers` first. What fails later is the last frame.

        Raises as `whole` does, before the first frame.
        """
        targets = await plan(ingress, self._catalogue, policy=policy)
        async with aclosing(self._engine.run(ingress, targets)) as run:
            committed = await self._committed(run, ingress)
            headers.update(_headers(committed))
            if frame := writer.begin(committed.target):
                yield frame
            try:
                async for piece in run:
                    assert isinstance(piece, Piece)
                    if frame := writer.write(piece):
                        yield frame
            except ProviderError as error:
                yield writer.fail(for_client(error, attempts=committed.failed))
            else:
                yield writer.end()

    async def _committed(self, run: AsyncGenerator[Committed | Piece], ingress: Ingress) -> Committed:
        try:
            committed = await anext(run)
        except AllFailed as failure:
            if all(attempt["error"] == Kind.MODEL_UNKNOWN for attempt in failure.attempts):
                raise self._catalogue.not_found(ingress.model) from failure
            raise for_client(failure.last, attempts=failure.attempts) from failure
        assert isinstance(committed, Committed)
        return committed


def _headers(committed: Committed) -> dict[str, str]:
    return {
        "x-synapscale-model": quote(committed.target.model, safe=READABLE),
        "x-synapscale-provider": quote(committed.target.provider.name, safe=READABLE),
        "x-synapscale-attempts": str(committed.attempts),
        "x-synapscale-fallback": "true" if committed.is_fallback else "false",
    }
