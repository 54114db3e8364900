"""Replicas are killed at random moments of many answers, and clients are cut off: nothing is lost, nothing is twice."""

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text

from shared.database import Sessions
from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.fake_llm import FakeLlm, Pause, Step, done, start
from tests.chat_service.serving import ROOT, is_healthy, served
from tests.tokens import auth_stub

KILLS = 30
REPLICAS = 3
CLIENTS = 6
LEASE = 1.0
SEED = 20261125

Events = list[tuple[int, str, dict[str, Any]]]


class Replicas:
    """Real processes; one is killed and replaced again and again."""

    def __init__(self, nursery: asyncio.subprocess.Process, chance: random.Random) -> None:
        self.living: dict[int, str] = {}
        self.born: set[int] = set()
        """Those that were not killed, ready or not."""
        self._nursery = nursery
        self._asking = asyncio.Lock()
        self._chance = chance

    async def add(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        async with self._asking:
            self._nursery.stdin.write(b"%d\n" % port)
            pid = int(await self._nursery.stdout.readline())
        self.born.add(pid)
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            await eventually(lambda: is_healthy(client), what="a replica is healthy", within=20)
        self.living[pid] = url

    async def can_lose_one(self) -> bool:
        return len(self.living) > 1

    def kill_one(self) -> None:
        self.kill(self._chance.choice(list(self.living)))

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.born.discard(pid)
        self.living.pop(pid, None)

    def any(self) -> str:
        return self._chance.choice(list(self.living.values()))


@asynccontextmanager
async def replicas_of(directory: Path, chance: random.Random, **settings: str) -> AsyncIterator[Replicas]:
    nursery = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chat_service.nursery",
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        | {f"SYNAPSCALE_{name.upper()}": value for name, value in settings.items()},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    replicas = Replicas(nursery, chance)
    try:
        for _ in range(REPLICAS):
            await replicas.add()
        yield replicas
    finally:
        for pid in list(replicas.born):
            replicas.kill(pid)
        nursery.kill()
        await nursery.wait()


class Client:
    """Sends one message after the other, and reads each answer through kills and cuts, wherever it can."""

    def __init__(self, name: str, replicas: Replicas, chance: random.Random) -> None:
        self.conversation_id = f"conv_{name}"
        self.turns: dict[str, Events] = {}
        self.user_id = new_id("usr")
        self._replicas = replicas
        self._chance = chance

    async def talk(self, over: asyncio.Event) -> None:
        """One more message after it is over: that one is answered in peace."""
        last = False
        while not last:
            last = over.is_set()
            question = f"{self.conversation_id} {len(self.turns)}"
            events = self.turns[question] = []
            while not is_whole(events):
                url = self._replicas.any()
                async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                    try:
                        await self._read(question, events, chat=ChatApi(client, user_id=self.user_id))
                    except (httpx2.TransportError, TimeoutError, StopAsyncIteration):
                        await asyncio.sleep(0.02)  # it was killed: another replica knows

    async def _read(self, question: str, events: Events, *, chat: ChatApi) -> None:
        """Some of what follows, from a replica; then it is cut off. The message is sent again until it is accepted."""
        if events:
            generation_id = events[0][2]["generation_id"]
            if self._chance.random() < 0.02:
                await chat.ask("POST", f"generations/{generation_id}/stop")
            call = chat.events_of(generation_id, after=events[-1][0])
        else:
            chat.headers = chat.headers | {"idempotency-key": question.replace(" ", "-")}
            call = chat.streamed(question, conversation_id=self.conversation_id)
        async with call as reader:
            if reader.response.status_code != 200:
                await self._take_problem(reader.response, events)
                return
            for _ in range(self._chance.randrange(1, 12)):
                events.append(await reader.next())
                if is_whole(events):
                    return

    async def _take_problem(self, response: httpx2.Response, events: Events) -> None:
        """An answer that ended before its first word is no stream: who sends again is told so."""
        problem: dict[str, Any] = {}
        if response.status_code != 204:
            await response.aread()
            problem = response.json()
        assert problem["code"] in ("interrupted", "request_running", "unavailable"), problem
        if "generation_id" in problem:
            events.append((1, "error", problem | {"content": ""}))
        else:
            await asyncio.sleep(0.1)


def is_whole(events: Events) -> bool:
    return bool(events) and events[-1][1] in ("done", "error")


def script(question: str) -> list[Step]:
    chance = random.Random(question)
    steps: list[Step] = [Pause(0.05 * chance.random()), start()]
    for word in words(question):
        steps += [Delta(content=word), Pause(0.05 * chance.random())]
    return [*steps, done()]


def words(question: str) -> list[str]:
    return [f"{question}.{number} " for number in range(random.Random(question).randrange(5, 40))]


async def test_what_was_accepted_or_shown_survives_thirty_kills(
    database_url: str, sessions: Sessions, llm: FakeLlm, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    llm.script_for = lambda request: script(request["messages"][-1]["content"])
    over = asyncio.Event()
    async with served(auth_stub().app) as auth_url, served(llm.app) as llm_url, asyncio.timeout(60):
        settings = {"database_url": database_url, "auth_url": auth_url, "llm_url": llm_url}
        async with replicas_of(tmp_path, chance, **settings, chat_lease_seconds=str(LEASE)) as replicas:
            clients = [Client(str(number), replicas, chance) for number in range(CLIENTS)]
            talking = [asyncio.create_task(client.talk(over)) for client in clients]
            coming: set[asyncio.Task[None]] = set()
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 0.9))
                await eventually(replicas.can_lose_one, what="a replica is replaced", within=20)
                replicas.kill_one()
                coming.add(asyncio.create_task(replicas.add()))
            over.set()
            await asyncio.gather(*coming)
            await asyncio.gather(*talking)
            async with httpx2.AsyncClient(base_url=replicas.any(), trust_env=False) as http:
                ends = Counter([end for client in clients for end in await checked(client, http)])
    assert ends["completed"] > 0
    assert ends["interrupted"] > 0, "no kill hit an answer"
    async with sessions() as session:
        users = [client.user_id for client in clients]
        left = "SELECT count(*) FROM chat.events e JOIN chat.generations g ON g.id = e.generation_id"
        assert await session.scalar(text(f"{left} WHERE g.user_id = ANY(:users)"), {"users": users}) == 0
    print(f"{KILLS} kills, answers: {dict(ends)}")  # with -s: what was proven


async def checked(client: Client, http: httpx2.AsyncClient) -> list[str]:
    """How the client's answers ended, each exactly as it was shown."""
    chat = ChatApi(http, user_id=client.user_id)
    branch, cursor = [], None
    while True:
        query: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = await chat.read(f"conversations/{client.conversation_id}/messages", limit=100, **query)
        branch += page["data"]
        if (cursor := page["next_cursor"]) is None:
            break
    branch.reverse()
    assert [message["content"] for message in branch[::2]] == list(client.turns)
    for reply, (question, events) in zip(branch[1::2], client.turns.items(), strict=True):
        sequences = [sequence for sequence, _, _ in events]
        assert sequences == sorted(set(sequences)), "something was shown twice"
        assert [kind for _, kind, _ in events if kind in ("done", "error")] == [events[-1][1]]
        assert {event["generation_id"] for _, _, event in events} == {reply["generation_id"]}
        assert "".join(event["content"] for _, _, event in events) == reply["content"]
        whole = "".join(words(question))
        assert reply["content"] == whole if reply["status"] == "completed" else whole.startswith(reply["content"])
        assert (events[-1][1] == "done") == (reply["status"] in ("completed", "stopped"))
    return [message["status"] for message in branch[1::2]]
