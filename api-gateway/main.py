"""Lets `uvicorn api-gateway.main:app` work from the root of the repository.

In development, with no service's address configured, that is the whole platform in this process.
"""

from api_gateway.settings import Settings

settings = Settings()
if settings.env == "development" and not (settings.auth_url or settings.llm_url or settings.chat_url):
    from launcher.development import app
else:
    from api_gateway.main import app

__all__ = ["app"]
