"""Thoughts on OpenAI's wire: `reasoning_content` for their text, `reasoning_details` for what other providers sign.

The shape of the details is OpenRouter's (https://openrouter.ai/docs/use-cases/reasoning-tokens); the seal on a tool
call is where Google's own compatible endpoint has it, `extra_content.google.thought_signature`.
"""

from typing import Any

import msgspec

from llm_service.canonical.events import ReasoningDelta
from llm_service.canonical.request import Reasoning, Signature

Json = dict[str, Any]

FORMATS = {"anthropic": "anthropic-claude-v1", "gemini": "google-gemini-v1"}
DIALECTS = {written: dialect for dialect, written in FORMATS.items()}


def detail_of(thought: Reasoning | ReasoningDelta, *, index: int) -> Json | None:
    """A thought, or a piece of one, as an entry of `reasoning_details`; None where there is no format for its seal."""
    seal = thought.redacted or thought.signature
    if seal is None:
        return {"type": "reasoning.text", "text": thought.text, "index": index}
    if (written := FORMATS.get(seal.dialect)) is None:
        return None
    if thought.redacted is not None:
        return {"type": "reasoning.encrypted", "data": seal.value, "format": written, "index": index}
    return {
        "type": "reasoning.text",
        "text": thought.text,
        "signature": seal.value,
        "format": written,
        "index": index,
    }


def thoughts_of(details: list[Any]) -> list[Reasoning]:
    """Clients that put a stream's pieces into one list bring back pieces: those of one `index` are one thought."""
    thoughts: list[Reasoning] = []
    before: Any = None
    for detail in details:
        if (thought := thought_of(detail)) is None:
            continue
        number = detail.get("index")
        grows = number is not None and number == before and not (thoughts[-1].signature or thoughts[-1].redacted)
        if grows and thought.redacted is None:
            thought = msgspec.structs.replace(thought, text=thoughts.pop().text + thought.text)
        thoughts.append(thought)
        before = number
    return thoughts


def thought_of(detail: Any) -> Reasoning | None:
    """None for an entry that says nothing of a model's thoughts that we could give back."""
    match detail:
        case {"type": "reasoning.encrypted", "data": str(sealed)}:
            return Reasoning(redacted=Signature(dialect=_dialect(detail), value=sealed))
        case {"type": "reasoning.text", "text": str(text), "signature": str(seal)}:
            return Reasoning(text=text, signature=Signature(dialect=_dialect(detail), value=seal))
        case {"type": "reasoning.text", "text": str(text)} | {"type": "reasoning.summary", "summary": str(text)}:
            return Reasoning(text=text)
        case _:
            return None


def seal_of_call(call: Any) -> Signature | None:
    match call:
        case {"extra_content": {"google": {"thought_signature": str(value)}}}:
            return Signature(dialect="gemini", value=value)
        case _:
            return None


def sealed_call(seal: Signature | None) -> Json:
    """What a tool call carries beside its function."""
    if seal is None or seal.dialect != "gemini":
        return {}
    return {"extra_content": {"google": {"thought_signature": seal.value}}}


def _dialect(detail: Json) -> str:
    written = str(detail.get("format"))
    return DIALECTS.get(written, written)
