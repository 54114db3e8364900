"""Lets `uvicorn llm-service.main:app` work from the root of the repository."""

from llm_service.main import app

__all__ = ["app"]
