"""Ids of tool calls, which other providers write with other letters."""

import re

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_-]")


def tool_id(given: str) -> str:
    """The same id for the same call and its result, in the letters that Anthropic takes."""
    return _NOT_ALLOWED.sub("_", given) or "_"
