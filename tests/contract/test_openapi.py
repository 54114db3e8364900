"""Each service's API as it was last agreed on: a change of it shows in review. `make snapshots` writes it anew."""

import importlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SERVICES = ("api_gateway", "auth_service", "chat_service", "llm_service")


def openapi_of(service: str) -> dict[str, Any]:
    settings = importlib.import_module(f"{service}.settings").Settings(_env_file=None)
    schema: dict[str, Any] = importlib.import_module(f"{service}.main").create_app(settings).openapi()
    return schema


@pytest.mark.parametrize("service", SERVICES)
def test_the_api_is_the_one_that_was_agreed_on(service: str) -> None:
    now = json.dumps(openapi_of(service), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    snapshot = HERE / f"{service}.json"
    if os.environ.get("SYNAPSCALE_WRITE_SNAPSHOTS"):
        snapshot.write_text(now)
    assert now == snapshot.read_text(), "if the change is meant: make snapshots"


@pytest.mark.parametrize("service", SERVICES)
def test_no_public_route_takes_multipart(service: str) -> None:
    """Its parsers have written files and burned CPU; whoever needs one brings limits on parts and headers with it."""
    assert "multipart/form-data" not in json.dumps(openapi_of(service))


def test_the_parser_of_forms_is_one_without_known_weaknesses() -> None:
    """CVE-2026-24486, -40347, -42561: services read the forms of other services with it."""
    assert tuple(int(part) for part in version("python-multipart").split(".")) >= (0, 0, 34)
