"""`GET /`: where to go from here."""

from fastapi import APIRouter

from shared import __version__

router = APIRouter(include_in_schema=False)


@router.get("/")
async def read_root() -> dict[str, str]:
    return {"name": "SynapScale", "version": __version__, "docs": "/docs", "health": "/health"}
