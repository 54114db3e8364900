"""What is no request gets an answer that says so, in the shape of the surface."""

from pathlib import Path
from typing import Any

import pytest

from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.openai import OpenAISimulator
from tests.tokens import bearer

MISTAKES: list[tuple[bytes | dict[str, Any], int, str]] = [
    (b"{", 400, "malformed_request"),
    (b"[]", 400, "malformed_request"),
    (b"\xff\xfe", 400, "malformed_request"),
    (b"", 400, "malformed_request"),
    ({}, 422, "invalid_request"),
    ({"model": 3, "messages": [{}]}, 422, "invalid_request"),
    ({"messages": []}, 422, "invalid_request"),
    ({"messages": "hello"}, 422, "invalid_request"),
    (asking(stream="yes"), 422, "invalid_request"),
    (asking(fallbacks="gpt-4"), 422, "invalid_request"),
    (asking(routing={"mode": "magic"}), 422, "invalid_request"),
    (asking(routing={"deadline_ms": 0}), 422, "invalid_request"),
    (asking(routing={"deadline_ms": 86_400_001}), 422, "invalid_request"),
    (b'{"messages": [{}], "routing": {"deadline_ms": ' + b"9" * 400 + b"}}", 422, "invalid_request"),
    (b'{"messages": [{}], "routing": {"deadline_ms": 1e400}}', 400, "malformed_request"),
    (b'{"messages": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "malformed_request"),
    (asking(model="no-such-model"), 404, "model_not_found"),
    (asking(fallbacks=["no-such-model"]), 404, "model_not_found"),
]


@pytest.mark.parametrize(("body", "status", "code"), MISTAKES)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_mistake_is_named(body: Any, status: int, code: str, stream: bool, tmp_path: Path) -> None:
    if isinstance(body, dict) and "stream" not in body:
        body = {**body, "stream": stream}
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        native = await llm.post(SURFACES[1], **sent)
        openai = await llm.post(SURFACES[0], **sent)
    assert native.status_code == status
    assert native.headers["content-type"] == "application/problem+json"
    problem = native.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == native.headers["x-request-id"]
    assert openai.status_code == (400 if status == 422 else status)
    error = openai.json()["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    assert error["code"] == code
    if status == 422:
        assert problem["errors"][0]["pointer"].startswith("/")


async def test_an_unknown_model_is_answered_with_those_that_exist(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[1], json=asking(model="gpt-99"))
    assert "gpt-4o" in answer.json()["models"]
    assert "gpt-4o" in answer.json()["detail"]


MISTYPED: list[tuple[dict[str, Any], str]] = [
    ({"role": ["x"], "content": "a"}, "/messages/0/role"),
    ({"role": {}, "content": "a"}, "/messages/0/role"),
    ({"role": "user", "content": "a", "name": 5}, "/messages/0/name"),
    ({"role": "user", "content": [{"type": "file", "file": {"file_data": 5}}]}, "/messages/0/content/0/file/file_data"),
    ({"role": "user", "content": [{"type": "file", "file": {"file_id": []}}]}, "/messages/0/content/0/file/file_id"),
]


@pytest.mark.parametrize(("message", "pointer"), MISTYPED)
async def test_a_field_of_the_wrong_type_is_named(message: dict[str, Any], pointer: str, tmp_path: Path) -> None:
    async with serving(tmp_path, {"echo": {"type": "echo", "models": ["echo-1"]}}) as llm:
        answer = await llm.post(SURFACES[1], json={"model": "echo-1", "messages": [message]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_message_that_cannot_be_translated_is_named(surface: str, tmp_path: Path) -> None:
    """The echo provider needs the canonical form; a relaying one would have passed it on."""
    body = asking(model="echo-1") | {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}
    async with serving(tmp_path, {"echo": {"type": "echo", "models": ["echo-1"]}}) as llm:
        answer = await llm.post(surface, json=body)
    assert answer.status_code in (400, 422)
    assert "/messages/0/content/0/text" in answer.text


async def test_scopes_are_asked_for(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        nobody = await llm.post(SURFACES[1], json=asking(), headers={"authorization": ""})
        reader = await llm.post(SURFACES[1], json=asking(), headers=bearer(scopes="llm:read"))
        invoker = await llm.get("/api/llm/models", headers=bearer(scopes="llm:invoke"))
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert reader.status_code == 403
    assert 'scope="llm:invoke"' in reader.headers["www-authenticate"]
    assert invoker.status_code == 403
