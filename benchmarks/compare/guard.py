"""Whether a gateway answers right at all: fast nonsense is no result."""

import json

import httpx2

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.providers import TEXT


class Wrong(Exception):
    """What a gateway answered instead of what the provider said."""


def check_whole(endpoint: Endpoint) -> None:
    """Raises Wrong."""
    with httpx2.Client(trust_env=False, timeout=30) as client:
        answer = client.post(endpoint.url, content=endpoint.body(), headers=headers_of(endpoint))
    if answer.status_code != 200:
        raise Wrong(f"{answer.status_code}: {answer.text[:200]}")
    text = answer.json()["choices"][0]["message"]["content"]
    if not text.startswith(TEXT):
        raise Wrong(f"another text: {text[:100]}")


def check_stream(endpoint: Endpoint, *, chunks: int) -> None:
    """That all of them come, once, and the end after them. Raises Wrong."""
    with httpx2.Client(trust_env=False, timeout=30) as client:
        answer = client.post(endpoint.url, content=endpoint.body(stream=True), headers=headers_of(endpoint))
    if answer.status_code != 200:
        raise Wrong(f"{answer.status_code}: {answer.text[:200]}")
    events = [line.removeprefix("data:").strip() for line in answer.text.splitlines() if line.startswith("data:")]
    if events[-1:] != ["[DONE]"]:
        raise Wrong(f"no end: {answer.text[-200:]}")
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    texts = [text for choice in choices if (text := choice["delta"].get("content"))]
    if len(texts) != chunks or len(set(texts)) != chunks:
        raise Wrong(f"{len(texts)} chunks of text, of which {len(set(texts))} differ, not {chunks}")


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    return {"content-type": "application/json", **endpoint.headers}
