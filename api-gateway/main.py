"""Lets `uvicorn api-gateway.main:app` work from the root of the repository."""

from api_gateway.main import app

__all__ = ["app"]
