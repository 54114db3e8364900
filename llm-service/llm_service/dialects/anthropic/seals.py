"""Other providers' signatures in Anthropic's words, so that its clients bring back what they do not understand.

A thought of another provider becomes a `thinking` block whose `signature` says whose it is; the signature of a tool
call, for which Anthropic has no place, becomes one without text before the call. Neither is ever sent to Anthropic.
"""

import re
from typing import Any, NamedTuple

import msgspec

from llm_service.canonical.request import Signature

NAME = "anthropic"
_MARK = "synapscale."
_CALL = "call."
_PERHAPS_OURS = re.compile(rb'thinking"|"citations"')


class Seal(NamedTuple):
    """`of_call`: it belongs to the tool call that follows, and is no thought."""

    signature: Signature
    of_call: bool = False


def sealed(signature: Signature | None, *, of_call: bool = False) -> str:
    """As `signature` or `data` of a block; empty where there is none."""
    if signature is None:
        return ""
    if signature.dialect == NAME and not of_call:
        return signature.value
    return f"{_MARK}{_CALL if of_call else ''}{signature.dialect}.{signature.value}"


def opened(value: str) -> Seal | None:
    """What `sealed` wrote; what it did not is Anthropic's own."""
    if not value:
        return None
    if not value.startswith(_MARK):
        return Seal(Signature(dialect=NAME, value=value))
    rest = value.removeprefix(_MARK)
    of_call = rest.startswith(_CALL)
    dialect, _, theirs = rest.removeprefix(_CALL if of_call else "").partition(".")
    return Seal(Signature(dialect=dialect, value=theirs), of_call)


def own_words(messages: msgspec.Raw) -> Any:
    """A client's messages without what only we wrote into its answers; Anthropic would refuse it."""
    if not _PERHAPS_OURS.search(messages):
        return messages
    return [_own_words(message) for message in msgspec.json.decode(messages)]


def _own_words(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or message.get("role") != "assistant":
        return message
    kept = [_without_our_citations(block) for block in content if not _is_foreign(block)]
    return message if kept == content else {**message, "content": kept}


def _is_foreign(block: Any) -> bool:
    match block:
        case {"type": "thinking", "signature": str(value)} | {"type": "redacted_thinking", "data": str(value)}:
            return not value or value.startswith(_MARK)
        case _:
            return False


def _without_our_citations(block: Any) -> Any:
    match block:
        case {"type": "text", "citations": [_, *_] as citations}:
            theirs = [one for one in citations if not is_ours(one)]
            if len(theirs) == len(citations):
                return block
            return {name: value for name, value in block.items() if name != "citations"} | (
                {"citations": theirs} if theirs else {}
            )
        case _:
            return block


def is_ours(citation: Any) -> bool:
    """Whether we wrote this citation of another provider's answer: Anthropic's own have an index."""
    return isinstance(citation, dict) and citation.get("encrypted_index") == ""
