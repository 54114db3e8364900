"""Canonical parts written as Gemini's."""

import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import msgspec

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from llm_service.dialects.gemini.generations import is_before_3

Json = dict[str, Any]
_OBJECT = msgspec.json.Decoder(Json)

UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""Base64 of `skip_thought_signature_validator`: for a call that another model made, or whose signature the client lost
(https://ai.google.dev/gemini-api/docs/thought-signatures#faqs). From generation 3 on, a call without any is refused."""
IN_RESPONSES = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
"""Media that may stand inside a function's response (.../docs/function-calling#multimodal)."""
RESULT_KEYS = {"output", "error"}


class PartsRenderer:
    """`names` are those of functions, by the id of the call: Gemini's responses carry them."""

    def __init__(self, *, model: str, names: Mapping[str, str], losses: Losses) -> None:
        self._old = is_before_3(model)
        self._names = names
        self._losses = losses

    def render(self, parts: Sequence[Part], *, of_the_model: bool = False) -> list[Json]:
        """A signature goes on the part that follows the thought which it ends: that is where Gemini puts it."""
        rendered: list[Json] = []
        pending: str | None = None
        for part in parts:
            if isinstance(part, Reasoning):
                pending, thought = self._thought(part, pending)
                rendered += thought
                continue
            said = self._part(part)
            if pending and said and "thoughtSignature" not in said[0] and not isinstance(part, Opaque | ToolResult):
                said[0]["thoughtSignature"], pending = pending, None
            rendered += said
        if pending:
            rendered.append({"text": "", "thoughtSignature": pending})
        if of_the_model and not self._old:
            _sign_first_call(rendered)
        return rendered

    def _thought(self, part: Reasoning, pending: str | None) -> tuple[str | None, list[Json]]:
        """The signature that now waits for its part, and the parts that come first. Thoughts that another provider
        has signed are left out; those that nobody has may be Gemini's own, and it takes them in any case."""
        seal = part.signature or part.redacted
        if seal and seal.dialect != "gemini":
            return pending, []
        before: list[Json] = [{"text": "", "thoughtSignature": pending}] if seal and pending else []
        if part.text:
            before.append({"text": part.text, "thought": True})
        return (seal.value if seal else pending), before

    def _part(self, part: Part) -> list[Json]:
        match part:
            case Text():
                return [{"text": part.text}] if part.text else []
            case Refusal():
                return [{"text": part.text}] if part.text else []
            case Image():
                return self._image(part)
            case Audio():
                return [_inline(f"audio/{part.format}", part.data)]
            case Document():
                return self._document(part)
            case ToolCall():
                return [self._call(part)]
            case ToolResult():
                return self._result(part)
            case Opaque():
                if part.native.dialect == "gemini":
                    return [part.native.value]
                self._losses.drop(str(part.native.value.get("type")), target="gemini")
                return []
            case Reasoning():
                raise AssertionError("rendered with the part that follows")
            case _:
                assert_never(part)

    def _image(self, image: Image) -> list[Json]:
        if image.detail not in (None, "auto"):
            self._losses.ignore("image_url.detail")
        if image.data is not None:
            return [_inline(image.media_type or "image/png", image.data)]
        if image.url is not None:
            return [_file(image.url, image.media_type)]
        self._losses.drop("file_id", target="gemini")
        return []

    def _document(self, document: Document) -> list[Json]:
        if document.cited:
            self._losses.drop("citations", target="gemini")
        context = [{"text": document.context}] if document.context else []
        if document.name and document.text is not None:
            context.insert(0, {"text": document.name})
        if document.text is not None:
            return [*context, {"text": document.text}]
        if document.data is not None:
            return [*context, _inline(document.media_type or "application/pdf", document.data)]
        if document.url is not None:
            return [*context, _file(document.url, document.media_type)]
        self._losses.drop("file_id", target="gemini")
        return []

    def _call(self, call: ToolCall) -> Json:
        arguments = _object(call.arguments or "{}")
        if arguments is None:  # another model broke off within them
            self._losses.drop("tool_calls", target="gemini")
        rendered: Json = {"functionCall": {"id": call.id, "name": call.name, "args": arguments or {}}}
        if call.signature and call.signature.dialect == "gemini":
            rendered["thoughtSignature"] = call.signature.value
        return rendered

    def _result(self, result: ToolResult) -> list[Json]:
        name = self._names.get(result.tool_call_id)
        if name is None:
            self._losses.drop("tool_call_id", target="gemini")
            return []
        inside: list[Json] = []
        beside: list[Json] = []
        for medium in result.parts:
            if isinstance(medium, Text):
                continue
            for part in self._part(medium):
                fits = not self._old and part.get("inlineData", {}).get("mimeType") in IN_RESPONSES
                (inside if fits else beside).append(part)
        said = "".join(part.text for part in result.parts if isinstance(part, Text))
        response: Json = {"id": result.tool_call_id, "name": name, "response": _said(said, is_error=result.is_error)}
        if inside:
            response["parts"] = inside
        if beside:  # said which function they come from, where several are answered
            beside.insert(0, {"text": f"From {name} ({result.tool_call_id}):"})
        return [{"functionResponse": response}, *beside]


def _sign_first_call(parts: list[Json]) -> None:
    """The first of a step's calls has to be signed, the others have nothing to show."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", UNSIGNED)


def _said(text: str, *, is_error: bool) -> Json:
    """A response is an object: the result's own, or one with `output` or `error`."""
    if is_error:
        return {"error": text}
    found = _object(text)
    return {"output": text} if found is None or found.keys() & RESULT_KEYS else found


def _object(text: str) -> Json | None:
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _inline(media_type: str, data: str) -> Json:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _file(url: str, media_type: str | None) -> Json:
    """The type is guessed from the name where it is not told; Gemini looks for itself where neither helps."""
    kind = media_type or mimetypes.guess_type(url.partition("?")[0])[0]
    return {"fileData": {"fileUri": url, **({"mimeType": kind} if kind else {})}}
