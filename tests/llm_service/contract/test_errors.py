"""What goes wrong at a provider: its status, its code and its shape at each door, before the first word and after.

Each failure is asked of a model of its own (`fault-…`, which the simulators answer as their default model), so that no
circuit opens for another; what rests a whole key has a service of its own.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.llm_service.contract.providers import PROVIDERS, Vendor, World, world
from tests.llm_service.contract.scenarios import ASKED, user
from tests.llm_service.contract.surfaces import SURFACES, Surface
from tests.simulators.faults import NAMED

SHORT = {"connect": 1, "headers": 1.2, "first_content": 1.2, "gap": 1.2}
"""Seconds."""
TOLD: dict[str, tuple[int, str]] = {
    "400": (400, "provider_rejected_request"),
    "context-length": (400, "context_length_exceeded"),
    "404": (404, "model_not_found"),
    "408": (502, "provider_error"),
    "429": (429, "provider_rate_limited"),
    "429-retry-after": (429, "provider_rate_limited"),
    "500": (502, "provider_error"),
    "502": (502, "provider_error"),
    "503": (503, "provider_overloaded"),
    "504": (504, "provider_timeout"),
    "529": (503, "provider_overloaded"),
    "reset": (502, "provider_cut_stream"),
    "html": (502, "provider_invalid_answer"),
    "html-502": (502, "provider_error"),
}
"""By the fault's name; a provider whose protocol cannot tell one from another says otherwise in its row."""
OF_THE_KEY = {
    "401": (502, "provider_rejected_credentials"),
    "403": (502, "provider_rejected_credentials"),
    "quota": (502, "provider_rejected_credentials"),
}
IN_STREAMS = {
    "error-first": (503, "provider_overloaded"),
    "stall-first": (504, "provider_timeout"),
    "stall-headers": (504, "provider_timeout"),
}
"""A whole answer's headers come when all of it is done: it may be silent for as long as all attempts may take."""
MID_STREAM = {
    "cut": "provider_cut_stream",
    "cut-clean": "provider_cut_stream",
    "cut-reset": "provider_cut_stream",
    "cut-in-frame": "provider_invalid_answer",
    "corrupt": "provider_invalid_answer",
    "stall": "provider_timeout",
    "error-later": "provider_overloaded",
}
CASES = [(name, *told, stream) for name, told in TOLD.items() for stream in (True, False)]
CASES += [(name, *told, True) for name, told in IN_STREAMS.items()]


DOORS = [(provider, surface) for provider in PROVIDERS for surface in SURFACES]


@pytest.fixture(scope="module", params=DOORS, ids=lambda door: f"{door[0]}-{door[1]}")
async def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[World, Vendor, Surface]]:
    provider, surface = request.param
    async with world(tmp_path_factory.mktemp("errors"), provider, timeouts=SHORT) as running:
        yield running, provider, surface


@pytest.mark.parametrize(("name", "status", "code", "stream"), CASES, ids=str)
async def test_a_failure_before_the_first_word_is_a_status(
    door: tuple[World, Vendor, Surface], name: str, status: int, code: str, stream: bool
) -> None:
    running, provider, surface = door
    await _told(running, provider, surface, name, status, code, stream=stream)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("name", "status", "code"), [(name, *told) for name, told in OF_THE_KEY.items()], ids=str)
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_failure_of_the_key_is_no_secret_and_tells_none(
    provider: Vendor, surface: Surface, name: str, status: int, code: str, stream: bool, tmp_path: Path
) -> None:
    async with world(tmp_path, provider) as running:
        await _told(running, provider, surface, name, status, code, stream=stream)


async def _told(
    running: World, provider: Vendor, surface: Surface, name: str, status: int, code: str, *, stream: bool
) -> None:
    running.forget()
    status, code = provider.errors.get(name, (status, code))
    body = surface.body(f"{provider.name}/fault-{name}", ASKED, stream=stream)
    answer = await running.llm.post(surface.path, json=body)
    assert answer.status_code == status, answer.text
    told = surface.mistake(answer)
    assert told["code"] == code
    assert told["message"]
    assert {attempt["provider"] for attempt in told.get("attempts", ())} <= {provider.name}
    assert ("retry-after" in answer.headers) is (status in (429, 503))
    for secret in (running.of(provider).api_key, "Traceback"):
        assert secret not in answer.text


@pytest.mark.parametrize(("name", "code"), MID_STREAM.items(), ids=str)
async def test_a_failure_after_the_first_word_ends_the_stream_and_nothing_is_said_twice(
    door: tuple[World, Vendor, Surface], name: str, code: str
) -> None:
    running, provider, surface = door
    running.forget()
    code = provider.errors.get(name, (0, code))[1]
    running.of(provider).will_fail(replace(NAMED[name], after=3))
    asked = {"messages": [user("Count to 9")]}
    body = surface.body(f"{provider.name}/fault-{name}", asked, stream=True)
    answer = await running.llm.post(surface.path, json=body)
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-attempts"] == "1"
    told = surface.broken(answer.text)
    assert told["code"] == code
    for number in ("1", "2", "3"):
        assert answer.text.count(f'"{number}"') + answer.text.count(f'" {number}"') == 1
    assert ' 7"' not in answer.text


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_provider_that_is_not_there_is_told(provider: Vendor, surface: Surface, tmp_path: Path) -> None:
    async with world(tmp_path, provider) as running:
        await running.of(provider).refuse()
        for stream in (True, False):
            body = surface.body(f"{provider.name}/{provider.model}", ASKED, stream=stream)
            answer = await running.llm.post(surface.path, json=body)
            assert answer.status_code == 503
            assert surface.mistake(answer)["code"] == "provider_unreachable"


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_dialect_is_no_obstacle_to_a_rescue(provider: Vendor, surface: Surface, tmp_path: Path) -> None:
    """Every provider, when it fails, is replaced by the next of the table, in whichever dialect that speaks."""
    following = PROVIDERS[(PROVIDERS.index(provider) + 2) % len(PROVIDERS)]
    chain = [f"{one.name}/{one.model}" for one in (provider, following)]
    async with world(tmp_path, provider, following, routes={"auto": chain}, timeouts=SHORT) as running:
        for stream in (True, False):
            running.of(provider).will_fail(*[NAMED["error-first"]] * 2)
            answer = await running.llm.post(surface.path, json=surface.body("auto", ASKED, stream=stream))
            assert surface.hear(answer, stream=stream).text == "Where is it?"
            assert answer.headers["x-synapscale-provider"] == following.name
            assert answer.headers["x-synapscale-fallback"] == "true"
            assert int(answer.headers["x-synapscale-attempts"]) in (2, 3)
