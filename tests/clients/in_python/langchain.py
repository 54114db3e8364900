"""LangChain's `ChatOpenAI` and `OpenAIEmbeddings`. It is installed apart, so nothing of it is imported at the top."""

from importlib import import_module
from typing import Any

from tests.clients.clients import Door, Json
from tests.clients.in_python.openai_sdk import Report

TURNS = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello.")]


def model_of(door: Door, model: str, *, retries: int = 0, **more: Any) -> Any:
    made = import_module("langchain_openai").ChatOpenAI
    return made(
        base_url=f"{door.url}/v1", api_key=door.key, model=model, max_retries=retries, stream_usage=True, **more
    )


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: 21"


def chat(door: Door, *, model: str, said: str, **more: Any) -> Json:
    return _told(model_of(door, model, **more).invoke([*TURNS, ("user", said)]))


def stream(door: Door, *, model: str, said: str) -> Json:
    chunks = list(model_of(door, model).stream([*TURNS, ("user", said)]))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {"pieces": [chunk.content for chunk in chunks if chunk.content], **_told(whole)}


def tools(door: Door, *, model: str, said: str, stream: bool, **more: Any) -> Json:
    message_types = import_module("langchain_core.messages")
    bound = model_of(door, model, streaming=stream, **more).bind_tools([get_weather])
    messages = [message_types.HumanMessage(said)]
    message = bound.invoke(messages)
    results = [message_types.ToolMessage(get_weather(**c["args"]), tool_call_id=c["id"]) for c in message.tool_calls]
    answer = bound.invoke([*messages, message, *results])
    return {"calls": [{"name": c["name"], **c["args"]} for c in message.tool_calls], **_told(answer)}


def thinking(door: Door, **asked: Any) -> Json:
    return tools(door, **asked, reasoning_effort="low")


def structured(door: Door, *, model: str, said: str) -> Json:
    report = model_of(door, model).with_structured_output(Report).invoke(said)
    assert isinstance(report, Report)
    return report.model_dump()


def seen(door: Door, *, model: str, said: str, image: str) -> Json:
    parts = [{"type": "text", "text": said}, {"type": "image_url", "image_url": {"url": image}}]
    return _told(model_of(door, model).invoke([{"role": "user", "content": parts}]))


def retried(door: Door, *, model: str, said: str) -> Json:
    return _told(model_of(door, model, retries=1).invoke(said))


def broken(door: Door, *, model: str, said: str) -> Json:
    return {"pieces": [chunk.content for chunk in model_of(door, model).stream(said)]}


def abandoned(door: Door, *, model: str, said: str) -> Json:
    chunks = model_of(door, model).stream(said)
    piece = next(chunk.content for chunk in chunks if chunk.content)
    chunks.close()
    return {"pieces": [piece]}


def embeddings(door: Door, *, model: str, said: list[str]) -> Json:
    """It would send token numbers, counted by what it downloads first, unless it is told not to."""
    made = import_module("langchain_openai").OpenAIEmbeddings
    embedder = made(base_url=f"{door.url}/v1", api_key=door.key, model=model, check_embedding_ctx_length=False)
    return {"vectors": embedder.embed_documents(said)}


def _told(message: Any) -> Json:
    usage = message.usage_metadata
    return {
        "text": message.content,
        "finish": message.response_metadata["finish_reason"],
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
    }
