"""Gemini's API on loopback: `async with GeminiSimulator() as sim`, or `python -m tests.simulators.gemini`."""

import json
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from tests.simulators import control
from tests.simulators import gemini_errors as errors
from tests.simulators.answers import Answer, Thought, answer_within, count_tokens, split
from tests.simulators.connection import RecordedRequest
from tests.simulators.embeddings import vector
from tests.simulators.faults import NAMED, Fault
from tests.simulators.gemini_contents import Content, encode, signature_of
from tests.simulators.gemini_models import MODELS, Model, find_model
from tests.simulators.gemini_requests import ContentRequest, parse_content
from tests.simulators.gemini_schema import read
from tests.simulators.provider import FAULTS, Provider, before, fails, tells_usage
from tests.simulators.replies import Document, Event, EventStream, Reply

VERSIONS = ("v1beta", "v1", "v1alpha")
"""Google's own SDK speaks to `v1` since its version 3, its documentation to `v1beta`; here they are the same."""


class GeminiSimulator(Provider):
    """Says what `answers` says, on the wire of generativelanguage.googleapis.com."""

    title: ClassVar[str] = "Gemini"
    base_path: ClassVar[str] = ""
    default_key: ClassVar[str] = "AIza-simulated"

    def model_of(self, request: RecordedRequest) -> str:
        return unquote(request.path).rpartition("/models/")[2].partition(":")[0]

    def headers_of(self, request: RecordedRequest) -> dict[str, str]:
        return {
            "date": formatdate(usegmt=True),
            "server": "scaffolding on HTTPServer2",
            "server-timing": "gfet4t7; dur=12",
            "vary": "Origin, X-Origin, Referer",
            "x-content-type-options": "nosniff",
            "x-frame-options": "SAMEORIGIN",
            "x-xss-protection": "0",
        }

    def unprovoked(self, status: int, code: str | None = None) -> errors.Refusal:
        return errors.unprovoked(status, code)

    def authenticate(self, request: RecordedRequest) -> None:
        """The key in `x-goog-api-key` or in the query; one that is wrong is a 400."""
        asked = parse_qs(request.query).get("key", [""])[-1]
        key = request.headers.get("x-goog-api-key") or asked
        if not key:
            raise errors.no_key()
        if key != self.api_key:
            raise errors.wrong_key()

    def route(self, request: RecordedRequest, fault: Fault | None, headers: Mapping[str, str]) -> Reply:
        version, _, rest = unquote(request.path).removeprefix("/").partition("/")
        name, _, method = rest.removeprefix("models/").partition(":")
        known = version in VERSIONS and (rest == "models" or rest.startswith("models/"))
        match request.method, method if known else None:
            case "GET", "" if rest == "models":
                return _document(self._page(request.query), headers)
            case "GET", "":
                if model := find_model(name, faults=FAULTS):
                    return _document({**model.card(), "name": f"models/{name}"}, headers)
                raise errors.unlisted_model(name)
            case "POST", "generateContent" | "streamGenerateContent":
                return self._generate(request, method, fault, headers)
            case "POST", "countTokens":
                return _document(self._count(request), headers)
            case "POST", "embedContent" | "batchEmbedContents":
                return _document(self._embed(request, method), headers)
            case _:
                page = f"<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n{request.path}\n"
                return Document(page.encode(), 404, {**headers, "content-type": "text/html; charset=UTF-8"})

    def _generate(
        self, request: RecordedRequest, method: str, fault: Fault | None, headers: Mapping[str, str]
    ) -> Reply:
        model = self._model(request, method, embeds=False)
        asked = parse_content(_object(request), model, self.signatures)
        said = self.said(lambda: _answering(asked, request.number), fault)
        said = _signed(said, request.number) if model.signs else said
        self.sign([said.signature, *(thought.signature for thought in said.thoughts)])
        self.sign(call.signature for call in said.calls)
        content = Content(asked, said, request.number, tells_usage=tells_usage(fault))
        if method == "generateContent":
            return errors.OVERLOADED.document(headers) if fails(fault) else _document(content.document(), headers)
        events = list(content.events())
        if parse_qs(request.query).get("alt") != ["sse"]:
            body = "[" + "\n,\r\n".join(event.data for event in events) + "\n]"
            return Document(body.encode(), headers={**headers, "content-type": "application/json; charset=UTF-8"})
        if fault and fails(fault):
            events = [*before(events, fault), Event(encode(errors.OVERLOADED.body()))]
        kind = {"content-type": "text/event-stream", "content-disposition": "attachment"}
        return EventStream(events, {**headers, **kind}, newline="\r\n")

    def _count(self, request: RecordedRequest) -> dict[str, Any]:
        model = self._model(request, "countTokens", embeds=None)
        given = read(_object(request), "CountTokensRequest")
        whole = given.get("generateContentRequest") or {"contents": given.get("contents", [])}
        asked = parse_content({name: value for name, value in whole.items() if name != "model"}, model, self.signatures)
        tokens = asked.prompt_tokens
        return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}

    def _embed(self, request: RecordedRequest, method: str) -> dict[str, Any]:
        model = self._model(request, method, embeds=True)
        if method == "embedContent":
            return {"embedding": _embedding(read(_object(request), "EmbedContentRequest"), model)}
        asked = read(_object(request), "BatchEmbedContentsRequest").get("requests", [])
        if not 1 <= len(asked) <= 100:
            raise errors.Refusal(
                "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n"
                if asked
                else "* BatchEmbedContentsRequest.requests: requests is not specified\n"
            )
        for index, one in enumerate(asked):
            if one.get("model") != f"models/{self.model_of(request)}":
                place = f"* BatchEmbedContentsRequest.requests[{index}].model"
                raise errors.Refusal(f"{place}: model must match the model of the request\n")
        return {"embeddings": [_embedding(one, model) for one in asked]}

    def _model(self, request: RecordedRequest, method: str, *, embeds: bool | None) -> Model:
        name = self.model_of(request)
        model = find_model(name, faults=FAULTS)
        fault = name.startswith("fault-")
        if model is None or (embeds is not None and model.embeds != embeds and not fault):
            raise errors.unknown_model(name, method)
        return model

    def _page(self, query: str) -> dict[str, Any]:
        """`pageSize` (50, at most 1,000) and `pageToken`, as Google pages its lists."""
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        size = asked.get("pageSize", "50")
        start = asked.get("pageToken", "0")
        if not size.isdecimal() or not start.isdecimal():
            raise errors.invalid_value("page_size" if start.isdecimal() else "page_token", "TYPE_INT32", size)
        names = self._names()
        end = int(start) + min(int(size) or 50, 1000)
        page = [{**card, "name": f"models/{name}"} for name, card in names[int(start) : end]]
        return {"models": page, **({"nextPageToken": str(end)} if end < len(names) else {})}

    def _names(self) -> list[tuple[str, dict[str, Any]]]:
        names = [model.name for model in MODELS]
        if self.list_faults:
            names += ["gemini-2.5-flash-slow", *(f"fault-{name}" for name in NAMED)]
        found = ((name, find_model(name, faults=FAULTS)) for name in names)
        return [(name, model.card()) for name, model in found if model]


def _answering(asked: ContentRequest, number: int) -> Answer:
    """Where thoughts are to be seen, it thinks first."""
    said = answer_within(asked.turns, asked.limits)
    if not asked.shows_thoughts:
        return said
    thought = Thought(split("The question is short, and so is the answer."), signature_of(number))
    return replace(said, thoughts=(thought,))


def _signed(said: Answer, number: int) -> Answer:
    """Gemini 3 signs the first call of every answer that has one."""
    carried = any(thought.signature for thought in said.thoughts)
    if not said.calls or said.calls[0].signature or carried:
        return said
    return replace(said, calls=(replace(said.calls[0], signature=signature_of(number)), *said.calls[1:]))


def _embedding(given: Mapping[str, Any], model: Model) -> dict[str, Any]:
    parts = given.get("content", {}).get("parts", [])
    text = "\n".join(part.get("text", "") for part in parts)
    if not text:
        raise errors.Refusal("* EmbedContentRequest.content: content is empty\n")
    if count_tokens(text) > model.max_input:
        raise errors.Refusal("The input token count exceeds the maximum number of tokens allowed (2048).")
    dimensions = given.get("outputDimensionality", model.dimensions or 768)
    if not 1 <= dimensions <= 3072:
        raise errors.Refusal("* EmbedContentRequest.output_dimensionality: must be in the range [1, 3072].\n")
    return {"values": vector(text, dimensions)}


def _object(request: RecordedRequest) -> dict[str, Any]:
    if not isinstance(request.body, dict):
        raise errors.not_json()
    return request.body


def _document(body: dict[str, Any], headers: Mapping[str, str]) -> Document:
    """Indented by two, with a line end, as Google's are."""
    encoded = json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n"
    return Document(encoded, headers={**headers, "content-type": "application/json; charset=UTF-8"})


if __name__ == "__main__":
    control.main(GeminiSimulator)
