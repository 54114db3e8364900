"""OpenAI's own SDK, pointed at the gateway of a running platform, in each shape."""

import subprocess

import openai
import pytest
from openai import OpenAI

from tests.e2e.examples import run_shell_blocks
from tests.e2e.platforms import Platform

QUESTION = "Qual é a capital do Brasil?"
ANSWER = "A capital do Brasil é Brasília."
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.fixture
def client(serving: Platform) -> OpenAI:
    return OpenAI(base_url=f"{serving.url}/v1", api_key=run_shell_blocks(serving)["exported"], max_retries=0)


def asking(content: str = QUESTION, model: str = "gpt-4o") -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def test_a_completion_is_answered(client: OpenAI) -> None:
    completion = client.chat.completions.create(**asking())  # type: ignore[call-overload] # as a user writes it
    assert completion.choices[0].message.content == ANSWER
    assert completion.usage.total_tokens > 0


def test_a_stream_is_answered_with_its_usage(client: OpenAI) -> None:
    stream = client.chat.completions.create(**asking(), stream=True, stream_options={"include_usage": True})  # type: ignore[call-overload]
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage.total_tokens > 0


def test_a_tool_is_called_streamed(client: OpenAI) -> None:
    with client.chat.completions.stream(**asking('call add {"a": 1}'), tools=[TOOL]) as stream:  # type: ignore[arg-type,list-item]
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.name == "add"
    assert message.tool_calls[0].function.arguments == '{"a":1}'


def test_models_are_listed_and_read(client: OpenAI) -> None:
    assert "gpt-4o" in {model.id for model in client.models.list()}
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("no-such-model", openai.NotFoundError),
        ("openai/fault-400", openai.BadRequestError),
        ("openai/fault-429", openai.RateLimitError),
        ("openai/fault-500", openai.InternalServerError),
        ("openai/fault-html", openai.InternalServerError),
    ],
)
def test_a_failure_is_the_sdks_own_exception(client: OpenAI, model: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        client.chat.completions.create(**asking(model=model))  # type: ignore[call-overload]
    with pytest.raises(expected):
        list(client.chat.completions.create(**asking(model=model), stream=True))  # type: ignore[call-overload]


def test_a_cut_stream_raises_instead_of_looking_whole(client: OpenAI) -> None:
    said: list[str | None] = []
    stream = client.chat.completions.create(**asking(model="openai/fault-cut-clean"), stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError):
        said.extend(choice.delta.content for chunk in stream for choice in chunk.choices)
    assert "".join(word or "" for word in said) == "A capital"


def test_a_wrong_key_is_an_authentication_error(serving: Platform) -> None:
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{serving.url}/v1", api_key="wrong", max_retries=0).models.list()


def test_a_failing_provider_is_told_in_the_chat_and_the_question_stays(serving: Platform) -> None:
    """Through curl, as a front end would: the stream's last event is the error, and the history has both messages."""
    token = run_shell_blocks(serving)["exported"]
    url = f"{serving.url}/api/chat/messages"
    body = '{"conversation_id": "conv_cut", "content": "Count to 9", "model": "openai/fault-cut", "stream": true}'
    headers = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    stream = subprocess.run(
        ["curl", "-sN", url, *headers, "-d", body], capture_output=True, text=True, check=True
    ).stdout
    events = [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")]
    assert events[0] == "start"
    assert events[-1] == "error"
    assert "done" not in events
    page = f"{serving.url}/api/chat/conversations/conv_cut/messages"
    history = subprocess.run(["curl", "-s", page, *headers], capture_output=True, text=True, check=True).stdout
    assert '"status":"failed"' in history
    assert "Count to 9" in history
    assert "Traceback" not in stream + history
