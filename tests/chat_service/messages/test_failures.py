"""The model's service fails: what the sender is told, and what the conversation keeps."""

from itertools import groupby
from typing import Any

import msgspec
import pytest
from fastapi import Response

from shared.events import Delta, Failed, UsageReport
from shared.upstreams import HttpUpstream, InProcessUpstream, Upstreams
from tests.chat_service.api import ChatApi
from tests.chat_service.conftest import MakeApp
from tests.chat_service.fake_llm import USAGE, Cut, FakeLlm, Script, answer, done, failed, start
from tests.tokens import auth_stub

UNKNOWN_MODEL = {
    "type": "urn:synapscale:error:model_not_found",
    "title": "There is no such model",
    "status": 404,
    "detail": "There is no model gpt-9.",
    "code": "model_not_found",
    "models": ["gpt-4"],
}


def problem(body: dict[str, Any], **headers: str) -> Response:
    return Response(
        msgspec.json.encode(body), status_code=body["status"], media_type="application/problem+json", headers=headers
    )


BEFORE_THE_FIRST_WORD: list[Any] = [
    pytest.param(problem(UNKNOWN_MODEL), 404, "model_not_found", id="unknown model"),
    pytest.param(Response("<html>Bad gateway</html>", status_code=502), 502, "bad_gateway", id="HTML with 502"),
    pytest.param(Response("<html>Hi</html>", media_type="text/html"), 502, "bad_gateway", id="HTML with 200"),
    pytest.param(Response("{}", status_code=500), 502, "bad_gateway", id="an error that says nothing"),
    pytest.param(Response('{"status": "x", "code": 1}', status_code=500), 502, "bad_gateway", id="nonsense"),
    pytest.param([Cut()], 502, "bad_gateway", id="cut before the first event"),
    pytest.param([], 502, "bad_gateway", id="empty stream"),
    pytest.param([failed("Down.", status=503, code="unavailable")], 503, "unavailable", id="error first"),
    pytest.param([b"data: {nonsense\n\n"], 502, "bad_gateway", id="not JSON"),
    pytest.param([b'data: {"type": "party"}\n\n'], 502, "bad_gateway", id="unknown event"),
    pytest.param([b'data: {"type": "delta", "content": "\\ud800"}\n\n'], 502, "bad_gateway", id="half a pair"),
    pytest.param([b"\xff\xfe\n\n"], 502, "bad_gateway", id="not UTF-8"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("script", "status", "code"), BEFORE_THE_FIRST_WORD)
async def test_what_fails_before_the_first_word_is_a_plain_problem(
    chat: ChatApi, llm: FakeLlm, script: Script, status: int, code: str, stream: bool
) -> None:
    llm.will(script)
    response = await chat.send("Oi", conversation_id="conv_1", stream=stream)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in response.text
    question, reply = await chat.branch("conv_1")
    assert (question["content"], question["status"]) == ("Oi", "completed")
    assert (reply["content"], reply["status"]) == ("", "failed")
    assert reply["error"] == {"code": code, "detail": response.json()["detail"], "status": status}
    told = {name: response.json()[name] for name in ("conversation_id", "message_id", "generation_id")}
    assert told == {"conversation_id": "conv_1", "message_id": reply["id"], "generation_id": reply["generation_id"]}


async def test_the_problem_of_the_model_service_is_passed_on_whole(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(problem({**UNKNOWN_MODEL, "status": 429, "code": "rate_limited"}, **{"retry-after": "17"}))
    response = await chat.send("Oi")
    assert response.json()["models"] == ["gpt-4"]
    assert response.headers["retry-after"] == "17"
    assert response.json()["instance"] == "/api/chat/messages"


async def test_an_expired_token_is_told_to_the_client(chat: ChatApi, llm: FakeLlm) -> None:
    expired = {"status": 401, "code": "unauthorized", "title": "t", "detail": "The access token has expired."}
    llm.will(problem(expired, **{"www-authenticate": 'Bearer error="invalid_token"'}))
    response = await chat.send("Oi")
    assert response.status_code == 401
    assert "invalid_token" in response.headers["www-authenticate"]


AFTER_THE_FIRST_WORD: list[Any] = [
    pytest.param([Cut()], 502, "bad_gateway", id="cut"),
    pytest.param([], 502, "bad_gateway", id="ends without a terminal event"),
    pytest.param([failed("Overloaded.", code="overloaded", status=529)], 529, "overloaded", id="error event"),
    pytest.param([b"data: {nonsense\n\n"], 502, "bad_gateway", id="not JSON"),
    pytest.param([done(cost_usd="a fortune")], 500, "internal_error", id="a cost that is no number"),
]


@pytest.mark.parametrize(("end", "status", "code"), AFTER_THE_FIRST_WORD)
async def test_what_fails_later_ends_the_stream_with_one_error(
    chat: ChatApi, llm: FakeLlm, end: Script, status: int, code: str
) -> None:
    assert not isinstance(end, Response)
    llm.will([start(), Delta(content="Half an "), Delta(content="ans"), UsageReport(usage=USAGE), *end])
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        shown = await events.rest()
    assert [kind for kind, _ in groupby(kind for _, kind, _ in shown)] == ["start", "delta", "usage", "error"]
    assert "".join(event["content"] for _, _, event in shown) == "Half an ans"
    last = shown[-1][2]
    assert (last["code"], last["status"], last["content"]) == (code, status, "")
    assert last["detail"]
    saved = await chat.read(f"messages/{last['message_id']}")
    assert (saved["content"], saved["status"], saved["usage"]) == ("Half an ans", "failed", USAGE)
    assert saved["error"] == {"code": code, "detail": last["detail"], "status": status}
    assert saved["generation_id"] == last["generation_id"]


@pytest.mark.parametrize(("end", "status", "code"), AFTER_THE_FIRST_WORD)
async def test_half_an_answer_is_no_answer_to_who_asked_for_a_whole_one(
    chat: ChatApi, llm: FakeLlm, end: Script, status: int, code: str
) -> None:
    assert not isinstance(end, Response)
    llm.will([start(), Delta(content="Half an ans"), *end])
    response = await chat.send("Oi")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (await chat.read(f"messages/{response.json()['message_id']}"))["content"] == "Half an ans"


async def test_a_model_service_that_is_down_is_unavailable(make_app: MakeApp, unused_port: int) -> None:
    llm = HttpUpstream("llm", url=f"http://127.0.0.1:{unused_port}")
    app = make_app()
    app.state.upstreams = Upstreams([auth_stub(), llm])
    chat_upstream = InProcessUpstream("chat", app=app)
    async with chat_upstream.running():
        chat = ChatApi(chat_upstream.client())
        response = await chat.send("Oi", stream=True)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"


async def test_the_conversation_goes_on_after_a_failure(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(problem(UNKNOWN_MODEL), [start(), Delta(content="Half"), Cut()], answer("fine"))
    await chat.send("1?", conversation_id="conv_1", model="gpt-9")
    await chat.send("2?", conversation_id="conv_1", model="gpt-4")
    assert (await chat.say("3?", conversation_id="conv_1"))["content"] == "fine"
    told = [(message["role"], message["content"]) for message in llm.requests[-1]["messages"]]
    assert told == [("user", "1?"), ("user", "2?"), ("assistant", "Half"), ("user", "3?")]


async def test_nothing_is_read_after_the_terminal_event(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will([start(), Delta(content="a"), done(), Failed(code="late", detail="late"), Delta(content="b")])
    assert (await chat.say("Oi"))["content"] == "a"


async def test_an_answer_without_end_is_ended_and_kept(chat: ChatApi, llm: FakeLlm) -> None:
    page = "x" * 100_000
    llm.will([start(), *(Delta(content=page) for _ in range(30)), done()])
    response = await chat.send("Oi", conversation_id="conv_1")
    assert (response.status_code, response.json()["code"]) == (502, "answer_too_long")
    _, reply = await chat.branch("conv_1")
    assert reply["status"] == "failed"
    assert reply["content"] == page * 20
