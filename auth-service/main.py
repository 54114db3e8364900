"""Lets `uvicorn auth-service.main:app` work from the root of the repository."""

from auth_service.main import app

__all__ = ["app"]
