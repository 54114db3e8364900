"""OpenAI's `POST /v1/embeddings`: reading it, and vectors that mean nothing."""

from collections.abc import Mapping
from typing import Any

from tests.simulators import openai_errors as errors
from tests.simulators.answers import count_tokens
from tests.simulators.embeddings import packed, vector
from tests.simulators.openai_requests import Kind, check

MODELS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""With their dimensions; a model `fault-…` is the first."""
_PARAMETERS: Mapping[str, Kind] = {
    "model": Kind("a string", (str,)),
    "input": Kind("one of a string or array", (str, list)),
    "dimensions": Kind("an integer", (int,), least=1),
    "encoding_format": Kind("a string", (str,)),
    "user": Kind("a string", (str,)),
}
_LONGEST = 8192


def embed(body: Any, *, faults: frozenset[str]) -> dict[str, Any]:
    """The answer to `body`; raises the Refusal with which OpenAI would answer it."""
    if not isinstance(body, dict):
        raise errors.not_json()
    if unknown := body.keys() - _PARAMETERS.keys():
        raise errors.unrecognized(", ".join(sorted(unknown)))
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        check(name, value, _PARAMETERS[name])
    dimensions = _dimensions(given, faults)
    texts = _texts(given)
    form = given.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise errors.wrong_value("encoding_format", form, ("float", "base64"))
    vectors = [vector(text, dimensions) for text, _ in texts]
    data = [
        {"object": "embedding", "index": at, "embedding": packed(one) if form == "base64" else one}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(count for _, count in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": given["model"], "usage": usage}


def _dimensions(given: Mapping[str, Any], faults: frozenset[str]) -> int:
    name = given.get("model")
    if not name:
        raise errors.Refusal("you must provide a model parameter")
    if name.startswith("fault-") and name.removeprefix("fault-") in faults:
        name = "text-embedding-3-small"
    if name not in MODELS:
        raise errors.unknown_model(name)
    asked: int = given.get("dimensions", MODELS[name])
    if "dimensions" in given and name == "text-embedding-ada-002":
        raise errors.Refusal("This model does not support specifying dimensions.")
    if asked > MODELS[name]:
        raise errors.out_of_range("dimensions", asked, kind="integer", limit=MODELS[name], above=True)
    return asked


def _texts(given: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Each with its tokens: a text, a list of texts, of tokens, or of lists of tokens."""
    if "input" not in given:
        raise errors.missing("input")
    inputs = given["input"]
    if isinstance(inputs, str) or (inputs and all(isinstance(token, int) for token in inputs)):
        inputs = [inputs]
    if not 1 <= len(inputs) <= 2048:
        raise errors.Refusal(f"'$.input' is invalid: it has {len(inputs)} elements, of 1 to 2048 that are allowed.")
    texts = []
    for one in inputs:
        if not one or not isinstance(one, str | list):
            raise errors.Refusal(
                "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs"
            )
        texts.append((one, count_tokens(one)) if isinstance(one, str) else (repr(one), len(one)))
    longest = max(count for _, count in texts)
    if longest > _LONGEST:
        raise errors.Refusal(
            f"This model's maximum context length is {_LONGEST} tokens, however you requested {longest} tokens "
            f"({longest} in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
        )
    return texts
