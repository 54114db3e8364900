"""Mistral's wire: what it says otherwise than OpenAI's, on recorded traffic and on its simulator."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from mistralai.client.models import ChatCompletionRequest

from llm_service.canonical.answer import Answer
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Reasoning
from llm_service.dialects import MISTRAL, OPENAI
from llm_service.errors import Kind, NotExpressible
from shared.http.frames import Frame
from tests.llm_service.recordings import Recording, recordings
from tests.llm_service.serving import SURFACES, asking, serving
from tests.simulators.answers import says
from tests.simulators.mistral import MistralSimulator

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALLS = [
    {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}} for number in (1, 2)
]


def rendered(*, losses: Losses | None = None, **fields: Any) -> dict[str, Any]:
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    return MISTRAL.render_request(OPENAI.parse_request(asked), stream=True, losses=losses or Losses())


def test_fields_have_mistrals_names() -> None:
    body = rendered(seed=7, max_completion_tokens=9, tools=[TOOL], tool_choice="required", safe_prompt=True, n=2)
    assert (body["random_seed"], body["max_tokens"], body["tool_choice"]) == (7, 9, "any")
    assert (body["safe_prompt"], body["n"], body["stream"]) == (True, 2, True)
    assert not body.keys() & {"seed", "max_completion_tokens", "stream_options"}
    ChatCompletionRequest.model_validate(body)


def test_what_mistral_cannot_be_asked_is_refused_or_told() -> None:
    with pytest.raises(NotExpressible, match="verbosity"):
        rendered(verbosity="low")
    losses = Losses(allowed=["verbosity"])
    body = rendered(losses=losses, verbosity="low", user="ana", store=True)
    assert not body.keys() & {"verbosity", "user", "store"}
    assert sorted(losses.fields) == ["store", "user", "verbosity"]


def test_ids_of_calls_become_nine_letters_and_digits_and_stay_pairs() -> None:
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_1", "content": "a"},
        {"role": "tool", "tool_call_id": "call_2", "content": "b"},
    ]
    sent = rendered(messages=messages, tools=[TOOL])["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert all(len(one) == 9 and one.isalnum() for one in ids)
    assert len(set(ids)) == 2
    assert [message["tool_call_id"] for message in sent[2:]] == ids


def test_thoughts_go_back_as_chunks_and_an_answer_to_go_on_with_is_a_prefix() -> None:
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "So", "reasoning_content": "Hm."},
    ]
    last = rendered(messages=messages)["messages"][-1]
    assert last["prefix"] is True
    assert last["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "So"},
    ]


def test_documents_go_by_url_or_as_one() -> None:
    parts = [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ]
    content = rendered(messages=[{"role": "user", "content": parts}])["messages"][0]["content"]
    assert content == [
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERg==", "document_name": "a.pdf"},
        {"type": "input_audio", "input_audio": "aGk="},
    ]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"message": "Unauthorized", "request_id": "x"}, Kind.CREDENTIALS),
        (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model"}, Kind.MODEL_UNKNOWN),
        (422, {"detail": [{"loc": ["body", "model"], "msg": "Field required", "type": "missing"}]}, Kind.BAD_REQUEST),
        (429, {"object": "error", "message": "Requests rate limit exceeded"}, Kind.RATE_LIMITED),
        (400, {"object": "error", "message": "Prompt contains 9 tokens, too large for model"}, Kind.CONTEXT_OVERFLOW),
        (500, {"object": "error", "message": "Service unavailable."}, Kind.SERVER),
    ],
)
def test_its_errors_are_understood(status: int, body: dict[str, Any], kind: Kind) -> None:
    error = MISTRAL.parse_error(status, msgspec.json.encode(body))
    assert error.kind is kind
    assert error.message


@pytest.mark.parametrize("recording", recordings("mistral"), ids=str)
def test_a_recorded_answer_is_understood(recording: Recording) -> None:
    if not recording.uri.partition("#")[0].endswith("/v1/chat/completions"):
        return
    answer = Answer()
    if recording.is_stream:
        parser = MISTRAL.stream_parser()
        events = [event for data in recording.sse_data for event in parser.read(Frame(b"", "", data.encode()))]
    else:
        events = list(MISTRAL.parse_answer(msgspec.json.encode(recording.body)))
    for event in events:
        answer.add(event)
    assert answer.finished is not None
    assert answer.text
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0
    assert any(isinstance(part, Reasoning) for part in answer.parts) == ("thinking" in recording.name)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_openai_client_reads_a_thinking_answer_of_mistrals(stream: bool, tmp_path: Path) -> None:
    async with MistralSimulator() as sim:
        sim.will_answer(says("Brasília.", thinking="Hm."))
        mistral = {
            "type": "mistral",
            "base_url": sim.base_url,
            "api_key": sim.api_key,
            "models": ["magistral-medium-latest"],
        }
        async with serving(tmp_path, {"mistral": mistral}) as llm:
            asked = asking(model="magistral-medium-latest", stream=stream, seed=1)
            answer = await llm.post(SURFACES[0], json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-synapscale-provider"] == "mistral"
    if not stream:
        message = answer.json()["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == ("Brasília.", "Hm.")
    else:
        assert '"reasoning_content"' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
