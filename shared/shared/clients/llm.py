"""llm-service, as the other services call it: canonical events in, whatever provider stands behind."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec

from shared.auth.principal import Principal
from shared.clients.problems import from_transport, raise_for_problem
from shared.errors import BadGateway
from shared.events import StreamEvent, decode_event
from shared.upstreams import Upstream

LONGEST_SILENCE = 60.0
"""Seconds without a byte (the service pings every 15) after which the stream counts as dead."""


class LlmClient:
    """Calls on behalf of a principal, with that principal's own token."""

    def __init__(self, llm: Upstream) -> None:
        self._llm = llm

    @asynccontextmanager
    async def completion(
        self, request: Mapping[str, Any], *, principal: Principal, request_id: str
    ) -> AsyncGenerator[AsyncGenerator[StreamEvent]]:
        """Streams one completion; `request` is the body of `POST /api/llm/chat/completions` without `stream`.

        The block is entered when an attempt has committed. Leaving it ends the provider's work.
        Raises the service's own problem (unknown model: NotFound and so on), Unavailable, GatewayTimeout, BadGateway.
        """
        headers = {
            "authorization": f"Bearer {principal.token}",
            "x-request-id": request_id,
            "content-type": "application/json",
        }
        body = msgspec.json.encode({**request, "stream": True})
        call = self._llm.client().stream(
            "POST",
            "/api/llm/chat/completions",
            content=body,
            headers=headers,
            timeout=httpx2.Timeout(LONGEST_SILENCE, connect=2),
        )
        try:
            async with call as response:
                await raise_for_problem(response, service="llm")
                yield _events(response)
        except httpx2.HTTPError as error:
            raise from_transport(error, service="llm") from error


async def _events(response: httpx2.Response) -> AsyncGenerator[StreamEvent]:
    async for frame in httpx2.EventSource(response):
        try:
            yield decode_event(frame.data)
        except msgspec.DecodeError as error:
            raise BadGateway("The llm service sent an event that cannot be read.") from error
