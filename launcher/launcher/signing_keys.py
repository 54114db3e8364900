"""`synapscale keys`: the keys that sign tokens, in the database that is configured, or the embedded one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from auth_service.keys.models import SigningKey
from auth_service.keys.repository import list_signing_keys
from auth_service.keys.sealing import Seal
from auth_service.keys.service import SecretKeyChanged, rotate
from launcher.errors import CannotStart
from launcher.migrating import configured_database
from launcher.settings import Settings
from shared.database import Sessions, database
from shared.secrets import stored_secret

Answer = TypeVar("Answer")


def rotate_keys(*, at_once: bool) -> None:
    """Makes a new key and says from when on it signs. Raises CannotStart."""
    settings = Settings()
    seal = Seal(settings.secret_key or stored_secret(settings.data_dir, "secret_key"))

    async def rotated(sessions: Sessions) -> SigningKey:
        async with sessions.begin() as session:
            return await rotate(session, seal, at_once=at_once)

    key = _asked(settings, rotated)
    print(f"Made the key {key.kid}.\n{_when(key)} The keys before it verify until the tokens they signed have expired.")


def show_keys() -> None:
    """Prints them, newest first. Raises CannotStart."""

    async def listed(sessions: Sessions) -> Sequence[SigningKey]:
        async with sessions() as session:
            return await list_signing_keys(session)

    keys = _asked(Settings(), listed)
    now = datetime.now(UTC)
    signer = next((key.kid for key in keys if key.signs_from <= now), None)
    for key in keys:
        print(f"{key.kid}  made {_time(key.created_at)}  {_state(key, now=now, signs=key.kid == signer)}")
    if not keys:
        print("There is none yet: the first start makes one.")


def _asked(settings: Settings, question: Callable[[Sessions], Awaitable[Answer]]) -> Answer:
    async def ask(url: str) -> Answer:
        async with database(url) as sessions:
            return await question(sessions)

    with configured_database(settings) as url:
        place = make_url(url).render_as_string(hide_password=True)
        try:
            return asyncio.run(ask(url))
        except SecretKeyChanged as error:
            raise CannotStart(str(error)) from None
        except OSError as error:
            raise CannotStart(f"The database does not answer: {error}\n({place})") from None
        except DBAPIError as error:
            told = f"The database cannot be used: {error.orig}\n({place})"
            raise CannotStart(f"{told}\nIf it is not up to date: synapscale migrate") from None


def _when(key: SigningKey) -> str:
    if key.signs_from <= datetime.now(UTC):
        return "It signs from now on: every replica uses it within a minute."
    return f"It is published now and signs from {_time(key.signs_from)}."


def _state(key: SigningKey, *, now: datetime, signs: bool) -> str:
    if key.retires_at is not None and key.retires_at <= now:
        return f"retired {_time(key.retires_at)}"
    state = ["signs"] if signs else [f"signs from {_time(key.signs_from)}"] if key.signs_from > now else []
    if key.retires_at is not None:
        state.append(f"verifies until {_time(key.retires_at)}")
    return ", ".join(state)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
