"""One document for the whole API, merged from the services' own, and the page that shows it."""

import asyncio
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from api_gateway.upstreams import SERVICES, find_route
from shared import __version__
from shared.upstreams import Upstream, Upstreams

log = structlog.get_logger(__name__)

Json = dict[str, Any]

TIME_LIMIT = 2.0
"""Seconds for each service."""
FRESH_FOR = 10.0
"""Seconds for which a merged document is given again."""
REFS = "#/components/schemas/"
BEARER: Json = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
TITLE = "SynapScale"

router = APIRouter(include_in_schema=False)


class MergedDocument:
    """Asks the services for theirs; a service that is away keeps the copy that it last gave."""

    def __init__(self, upstreams: Upstreams, own: Json) -> None:
        self._upstreams = upstreams
        self._own = own
        self._copies: dict[str, Json] = {}
        self._merged = b""
        self._merged_at = -FRESH_FOR
        self._merging = asyncio.Lock()

    async def read(self) -> bytes:
        async with self._merging:
            if time.monotonic() - self._merged_at > FRESH_FOR:
                await asyncio.gather(*(self._refresh(self._upstreams[name]) for name in SERVICES))
                documents = {"gateway": self._own, **{name: self._copies.get(name, {}) for name in SERVICES}}
                self._merged = msgspec.json.encode(merged(documents))
                self._merged_at = time.monotonic()
        return self._merged

    async def _refresh(self, service: Upstream) -> None:
        try:
            async with asyncio.timeout(TIME_LIMIT):
                answer = await service.client().get("/openapi.json")
            answer.raise_for_status()
            self._copies[service.name] = answer.json()
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            log.warning("service gives no openapi document", service=service.name, error=repr(error))


def merged(documents: dict[str, Json]) -> Json:
    """The operations that the gateway passes on; a name that two services use for different things gets a prefix."""
    paths: Json = {}
    schemas: Json = {}
    security: Json = {"bearer": BEARER}
    for service, document in documents.items():
        components = document.get("components", {})
        names = _names(service, components.get("schemas", {}), taken=schemas)
        document = _renamed(document, names)
        schemas |= document.get("components", {}).get("schemas", {})
        security |= components.get("securitySchemes", {})
        paths |= {
            path: {method: _secured(operation) for method, operation in operations.items()}
            for path, operations in document.get("paths", {}).items()
            if service == "gateway" or find_route(path) is not None
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": __version__, "summary": "One door to many language models"},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security},
    }


def _names(service: str, schemas: Json, *, taken: Json) -> dict[str, str]:
    return {
        name: f"{service.title()}{name}" if name in taken and taken[name] != schema else name
        for name, schema in schemas.items()
    }


def _renamed(value: Any, names: dict[str, str], *, key: str = "") -> Any:
    match value:
        case dict() if key == "schemas":
            return {names.get(name, name): _renamed(inner, names) for name, inner in value.items()}
        case dict():
            return {name: _renamed(inner, names, key=name) for name, inner in value.items()}
        case list():
            return [_renamed(inner, names) for inner in value]
        case str() if key == "$ref" and value.startswith(REFS):
            return REFS + names.get(value.removeprefix(REFS), value.removeprefix(REFS))
        case _:
            return value


def _secured(operation: Any) -> Any:
    """Whoever may log in with a password may also paste a token."""
    if not isinstance(operation, dict) or not operation.get("security"):
        return operation
    return {**operation, "security": [*operation["security"], {"bearer": []}]}


@router.get("/openapi.json")
async def read_openapi(request: Request) -> Response:
    document: MergedDocument = request.state.openapi
    return Response(await document.read(), media_type="application/json")


@router.get("/docs")
async def read_docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{TITLE} API",
        oauth2_redirect_url="/docs/oauth2-redirect",
        swagger_js_url="/docs/files/swagger-ui-bundle.js",
        swagger_css_url="/docs/files/swagger-ui.css",
        swagger_favicon_url="/docs/files/favicon.png",
        swagger_ui_parameters={"persistAuthorization": True, "tryItOutEnabled": True},
    )


@router.get("/docs/oauth2-redirect")
async def read_oauth2_redirect() -> HTMLResponse:
    return get_swagger_ui_oauth2_redirect_html()


def mount_docs_files(app: FastAPI) -> None:
    """Swagger UI's own files, as the fastapi-offline package brings them: the page loads nothing from elsewhere."""
    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    app.mount("/docs/files", StaticFiles(directory=Path(package.origin).parent / "static"))
