"""Lets `uvicorn chat-service.main:app` work from the root of the repository."""

from chat_service.main import app

__all__ = ["app"]
