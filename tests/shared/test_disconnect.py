"""Work for a client that leaves, on servers that tell of it and on those that have to be asked."""

import asyncio

import pytest
from starlette.types import Message, Scope

from shared import drain
from shared.disconnect import ON_LEAVE, ClientLeft, Leaving, unless_client_leaves
from shared.errors import Stopping


class Client:
    def __init__(self, *, told: bool) -> None:
        self.leaving = Leaving()
        self.scope: Scope = {"extensions": {ON_LEAVE: self.leaving}} if told else {}
        self._left = asyncio.Event()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._left.set()
        self.leaving.happens()


async def for_ever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cleaned up")


@pytest.mark.parametrize("told", [True, False])
async def test_work_ends_with_its_client_and_the_task_goes_on(told: bool) -> None:
    client, ended = Client(told=told), list[str]()
    asyncio.get_running_loop().call_soon(client.leave)
    with pytest.raises(ClientLeft):
        await unless_client_leaves(client.scope, client.receive, for_ever(ended))
    assert ended == ["cleaned up"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert len(asyncio.all_tasks()) == 1 or not told


@pytest.mark.parametrize("told", [True, False])
async def test_who_has_left_before_is_noticed_too(told: bool) -> None:
    client = Client(told=told)
    client.leave()
    with pytest.raises(ClientLeft):
        await unless_client_leaves(client.scope, client.receive, for_ever([]))


@pytest.mark.parametrize("told", [True, False])
async def test_a_process_that_ends_ends_the_work(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "PATIENCE", 0)
    monkeypatch.setattr(drain, "LAST_WORD", 0)
    client = Client(told=told)
    asyncio.get_running_loop().call_soon(drain.begin)
    with pytest.raises(Stopping):
        await unless_client_leaves(client.scope, client.receive, for_ever([]))
    assert not drain._running  # nothing else shows that a request leaves nothing behind


async def test_who_cancels_the_task_is_not_mistaken_for_the_client() -> None:
    client = Client(told=True)
    task = asyncio.create_task(unless_client_leaves(client.scope, client.receive, for_ever([])))
    await asyncio.sleep(0)
    task.cancel()
    client.leave()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_is_done_is_not_disturbed_by_a_client_that_leaves_later() -> None:
    client = Client(told=True)
    assert await unless_client_leaves(client.scope, client.receive, asyncio.sleep(0, "done")) == "done"
    client.leave()
    await asyncio.sleep(0)
