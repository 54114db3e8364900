"""When the processes of the platform answer, told to whoever started them."""

import asyncio

import httpx2

from launcher.settings import Settings
from launcher.welcome import address, next_steps


async def tell_when_healthy(settings: Settings) -> None:
    async with httpx2.AsyncClient(base_url=address(settings), trust_env=False, timeout=2) as gateway:
        while not await _is_healthy(gateway):  # noqa: ASYNC110 # another process sets no event of ours
            await asyncio.sleep(0.1)
    print(next_steps(settings), flush=True)


async def _is_healthy(gateway: httpx2.AsyncClient) -> bool:
    try:
        return bool((await gateway.get("/health")).json()["status"] == "ok")
    except (httpx2.HTTPError, ValueError, KeyError):
        return False
