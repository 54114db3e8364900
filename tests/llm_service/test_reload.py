"""The configuration changes while requests run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import psutil
import yaml

from tests.llm_service.serving import ANSWER, SURFACES, Json, asking, row, said, serving
from tests.simulators.openai import OpenAISimulator

LONGEST_WAIT = 10.0


def write(directory: Path, providers: dict[str, Json], **sections: Json) -> None:
    (directory / "llm.yaml").write_text(yaml.safe_dump({"providers": providers, **sections}))


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LONGEST_WAIT):
        while not await holds():  # noqa: ASYNC110 # another part's state: nothing here tells of its changes
            await asyncio.sleep(0.02)


async def until_configured(llm: httpx2.AsyncClient, *providers: str) -> None:
    async def are() -> bool:
        return [one["name"] for one in (await llm.get("/api/llm/providers")).json()["data"]] == list(providers)

    await eventually(are)


async def until_health_says(llm: httpx2.AsyncClient, word: str) -> str:
    told = ""

    async def says() -> bool:
        nonlocal told
        told = (await llm.get("/health")).text
        return word in told

    await eventually(says)
    return told


async def asked(llm: httpx2.AsyncClient) -> str:
    """The provider that answers now."""
    answer = await llm.post(SURFACES[1], json=asking())
    assert answer.status_code == 200
    return answer.headers["x-synapscale-provider"]


def connections_to(simulator: OpenAISimulator) -> int:
    """That this process has open as a client."""
    open_now = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == simulator.port and one.status == "ESTABLISHED" for one in open_now)


@asynccontextmanager
async def two() -> AsyncIterator[tuple[OpenAISimulator, OpenAISimulator]]:
    async with OpenAISimulator() as one, OpenAISimulator() as other:
        yield one, other


async def test_a_changed_file_is_in_force_without_a_restart(tmp_path: Path) -> None:
    async with two() as (one, other), serving(tmp_path, {"one": row(one)}) as llm:
        assert await asked(llm) == "one"
        write(tmp_path, {"other": row(other)})
        await until_configured(llm, "other")
        assert await asked(llm) == "other"


async def test_a_request_ends_with_the_configuration_that_it_began_with(tmp_path: Path) -> None:
    async with two() as (one, other), serving(tmp_path, {"one": row(one)}) as llm:
        gate = one.hold(after=1)
        streaming = asyncio.create_task(llm.post(SURFACES[0], json=asking(stream=True)))
        await gate.wait_until_reached()
        write(tmp_path, {"other": row(other)})
        await until_configured(llm, "other")
        assert await asked(llm) == "other"
        gate.release()
        answer = await streaming
    assert said(answer.text, surface=SURFACES[0]) == ANSWER


async def test_a_provider_that_is_gone_is_closed_when_its_last_request_has_ended(tmp_path: Path) -> None:
    async with two() as (one, other), serving(tmp_path, {"one": row(one)}) as llm:
        gate = one.hold(after=1)
        streaming = asyncio.create_task(llm.post(SURFACES[0], json=asking(stream=True)))
        await gate.wait_until_reached()
        write(tmp_path, {"other": row(other)})
        await until_configured(llm, "other")
        assert connections_to(one)
        gate.release()
        await streaming
        await eventually(lambda: asyncio.sleep(0, not connections_to(one)))


async def test_a_provider_whose_row_stays_keeps_its_connections(tmp_path: Path) -> None:
    async with two() as (one, other), serving(tmp_path, {"one": row(one)}) as llm:
        assert await asked(llm) == "one"
        await llm.get("/v1/models")  # which the service also asks for by itself, over a connection of the SDK's
        opened = one.connections
        write(tmp_path, {"one": row(one), "other": row(other)})
        await until_configured(llm, "one", "other")
        assert await asked(llm) == "one"
        assert one.connections == opened


async def test_a_bad_file_keeps_the_old_one_in_force_and_shows_in_health(tmp_path: Path, database_url: str) -> None:
    async with OpenAISimulator() as one, serving(tmp_path, {"one": row(one)}, database_url=database_url) as llm:
        (tmp_path / "llm.yaml").write_text("providers:\n  one: {type: magic}\n")
        told = await until_health_says(llm, "not in force")
        assert "llm.yaml:2: providers.one.type" in told
        assert '"degraded"' in told
        assert await asked(llm) == "one"
        write(tmp_path, {"one": row(one)})
        await until_health_says(llm, '"ok"')


async def test_a_missing_file_keeps_the_old_one_in_force(tmp_path: Path) -> None:
    async with OpenAISimulator() as one, serving(tmp_path, {"one": row(one)}) as llm:
        (tmp_path / "llm.yaml").unlink()
        await until_health_says(llm, "cannot be read")
        assert await asked(llm) == "one"
