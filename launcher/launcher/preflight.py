"""Mistakes that would end a service as it starts, told before any is started."""

import asyncio

import llm_service.settings
from auth_service.keys.repository import list_signing_keys
from auth_service.keys.sealing import CannotUnseal, Seal
from auth_service.keys.service import SecretKeyChanged
from launcher.environment import Told
from launcher.errors import CannotStart
from llm_service.config import ConfigError
from llm_service.config_file import load_config
from shared.database import database


def check(told: Told) -> None:
    """On a migrated database. Must not be called in a running event loop. Raises CannotStart."""
    settings = llm_service.settings.Settings()
    try:
        load_config(settings.llm_config, variables=llm_service.settings.environment())
    except ConfigError as error:
        raise CannotStart(str(error)) from None
    asyncio.run(_check_secret_key(told))


async def _check_secret_key(told: Told) -> None:
    seal = Seal(told["secret_key"])
    async with database(told["database_url"]) as sessions, sessions() as session:
        for key in await list_signing_keys(session):
            try:
                seal.unseal(key.sealed_private_key, bound_to=key.kid)
            except CannotUnseal:
                raise CannotStart(str(SecretKeyChanged())) from None
