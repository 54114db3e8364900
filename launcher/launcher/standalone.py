"""The whole platform as one app: the gateway, with every service behind it in the same process."""

from typing import Any

from fastapi import FastAPI

import api_gateway.main
import api_gateway.settings
import auth_service.main
import auth_service.settings
import chat_service.main
import chat_service.settings
import llm_service.main
import llm_service.settings
from shared.upstreams import InProcessUpstream, Upstreams


def create_platform(**settings: Any) -> FastAPI:
    """The gateway's app; its lifespan starts the services. `settings` win over the environment of every service."""
    gateway = api_gateway.main.create_app(api_gateway.settings.Settings(**settings))
    services = {
        "auth": auth_service.main.create_app(auth_service.settings.Settings(**settings)),
        "llm": llm_service.main.create_app(llm_service.settings.Settings(**settings)),
        "chat": chat_service.main.create_app(chat_service.settings.Settings(**settings)),
    }
    upstreams = Upstreams(InProcessUpstream(name, app=app) for name, app in services.items())
    for app in (gateway, *services.values()):
        app.state.upstreams = upstreams
    return gateway
