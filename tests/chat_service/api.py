"""A client of the chat API, for tests."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.tokens import bearer

DEADLINE = 10.0


class ChatApi:
    """Speaks for one user."""

    def __init__(self, client: httpx2.AsyncClient, **token: Any) -> None:
        self.client = client
        self.token = token
        self.headers = bearer(**token)

    def as_user(self, **token: Any) -> "ChatApi":
        return ChatApi(self.client, **self.token | token)

    async def send(self, content: str, **fields: Any) -> httpx2.Response:
        return await self.post({"content": content, **fields})

    async def post(self, body: Any) -> httpx2.Response:
        return await self.client.post("/api/chat/messages", json=body, headers=self.headers, timeout=DEADLINE)

    async def say(self, content: str, **fields: Any) -> dict[str, Any]:
        """The answer to a message that is expected to be answered."""
        response = await self.send(content, **fields)
        assert response.status_code == 200, response.text
        message: dict[str, Any] = response.json()
        return message

    @asynccontextmanager
    async def streamed(self, content: str, **fields: Any) -> AsyncIterator["EventReader"]:
        body = {"content": content, "stream": True, **fields}
        call = self.client.stream("POST", "/api/chat/messages", json=body, headers=self.headers, timeout=DEADLINE)
        async with call as response:
            yield EventReader(response)

    @asynccontextmanager
    async def events_of(
        self, generation_id: str, *, after: int | None = None, last_event_id: str | None = None
    ) -> AsyncIterator["EventReader"]:
        query = {} if after is None else {"after": after}
        headers = self.headers | ({} if last_event_id is None else {"last-event-id": last_event_id})
        path = f"/api/chat/generations/{generation_id}/events"
        async with self.client.stream("GET", path, params=query, headers=headers, timeout=DEADLINE) as response:
            yield EventReader(response)

    async def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return await self.client.request(method, f"/api/chat/{path}", json=body, headers=self.headers, timeout=DEADLINE)

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self.client.get(f"/api/chat/{path}", params=query, headers=self.headers, timeout=DEADLINE)

    async def read(self, path: str, **query: Any) -> Any:
        response = await self.get(path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    async def knows(self, conversation_id: str) -> bool:
        return (await self.get(f"conversations/{conversation_id}")).status_code == 200

    async def branch(self, conversation_id: str) -> list[dict[str, Any]]:
        """The active branch in the order in which it was said."""
        page = await self.read(f"conversations/{conversation_id}/messages", limit=100)
        assert page["next_cursor"] is None
        return list(reversed(page["data"]))


class EventReader:
    """The events of a streamed answer, each as its (sequence, type, object)."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._frames = aiter(httpx2.EventSource(response))

    async def next(self) -> tuple[int, str, dict[str, Any]]:
        frame = await asyncio.wait_for(anext(self._frames), DEADLINE)
        return int(frame.id), frame.event, json.loads(frame.data)

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            _, event, content = await self.next()
            if event == kind:
                return content

    async def rest(self) -> list[tuple[int, str, dict[str, Any]]]:
        async with asyncio.timeout(DEADLINE):
            return [(int(frame.id), frame.event, json.loads(frame.data)) async for frame in self._frames]


async def eventually(condition: Callable[[], Awaitable[bool]], *, what: str, within: float = DEADLINE) -> None:
    """Waits until `condition` holds; fails, saying `what` was awaited, where it does not."""
    try:
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110 # what is awaited is in a database
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within} s") from None
