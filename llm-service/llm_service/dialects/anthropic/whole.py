"""A collected answer written as Anthropic's `message`, and what a stream and it have in common."""

from typing import Any

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Finished, FinishReason
from llm_service.canonical.request import (
    Citation,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from llm_service.dialects.anthropic.answers import FINISH_REASONS
from llm_service.dialects.anthropic.blocks import arguments
from llm_service.dialects.anthropic.seals import NAME, sealed
from llm_service.dialects.anthropic.usage import render_usage
from shared.events import Usage
from shared.ids import new_id

Json = dict[str, Any]

STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}


def head(identity: str, model: str) -> Json:
    """A message of which nothing is said yet."""
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": render_usage(Usage()),
    }


def render_answer(answer: Answer) -> Json:
    parts = answer.parts
    called, refused = bool(answer.tool_calls), any(isinstance(part, Refusal) for part in parts)
    return {
        **head(answer.id or new_id("msg"), answer.model),
        "content": [block for part in parts for block in _render_part(part)],
        **stopped(answer.finished, called=called, refused=refused),
        "usage": render_usage(answer.usage or Usage()),
    }


def stopped(finished: Finished | None, *, called: bool, refused: bool) -> Json:
    """Why it ended, in the provider's own word where that is Anthropic's.

    `called` and `refused` tell what some providers call a mere stop: clients act on the reason alone.
    """
    reason: FinishReason = finished.reason if finished else "stop"
    native = finished.native if finished else None
    word = native if native and FINISH_REASONS.get(native) == reason else STOP_REASONS[reason]
    sequence = finished.stop_sequence if finished else None
    if reason == "stop" and called:
        word = "tool_use"
    elif reason == "stop" and refused:
        word = "refusal"
    elif reason == "stop" and sequence is not None:
        word = "stop_sequence"
    details = {"type": "refusal", "category": None, "explanation": None} if word == "refusal" else None
    return {"stop_reason": word, "stop_sequence": sequence, "stop_details": details}


def render_citation(citation: Citation) -> Json:
    """Another provider's source is told as a result of a web search, whose index is empty: it is not Anthropic's."""
    if citation.native and citation.native.dialect == NAME:
        return citation.native.value
    return {
        "type": "web_search_result_location",
        "cited_text": citation.cited_text or "",
        "encrypted_index": "",
        "title": citation.title,
        "url": citation.url or "",
    }


def _render_part(part: Part) -> list[Json]:
    match part:
        case Text(text=text, citations=citations):
            cited = {"citations": [render_citation(one) for one in citations]} if citations else {}
            return [{"type": "text", "text": text, **cited}] if text or cited else []
        case Refusal(text):
            return [{"type": "text", "text": text}] if text else []
        case Reasoning():
            return _render_reasoning(part)
        case ToolCall():
            call = {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments(part.arguments)}
            if part.signature is None:
                return [call]
            seal = {"type": "thinking", "thinking": "", "signature": sealed(part.signature, of_call=True)}
            return [seal, call]
        case Opaque(native=native):
            return [native.value] if native.dialect == NAME else []
        case _:
            return []  # images and speech have no place in Anthropic's answers


def _render_reasoning(part: Reasoning) -> list[Json]:
    blocks: list[Json] = []
    if part.redacted is not None:
        blocks.append({"type": "redacted_thinking", "data": sealed(part.redacted)})
    if part.text or part.signature is not None:
        blocks.append({"type": "thinking", "thinking": part.text, "signature": sealed(part.signature)})
    return blocks
