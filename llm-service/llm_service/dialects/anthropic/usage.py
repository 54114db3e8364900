"""Tokens as Anthropic counts them: what the cache gave or took is not in its `input_tokens`, but is in ours."""

from collections.abc import Iterable
from typing import Any

from shared.events import Usage

Json = dict[str, Any]
ROLLED_UP = "message"
"""Iterations that the totals hold already; others (a compaction, an advisor) are charged beside them."""


def parse_usage(told: Json) -> Usage:
    """https://platform.claude.com/docs/en/api/messages#usage"""
    iterations = told.get("iterations") or []
    counted = [told, *(one for one in iterations if one.get("type", ROLLED_UP) != ROLLED_UP)]
    read = _sum(counted, "cache_read_input_tokens")
    written = _sum(counted, "cache_creation_input_tokens")
    split = [one.get("cache_creation") or {} for one in counted]
    details = told.get("output_tokens_details") or {}
    return Usage(
        input_tokens=_sum(counted, "input_tokens") + read + written,
        output_tokens=_sum(counted, "output_tokens"),
        cached_input_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=_sum(split, "ephemeral_1h_input_tokens"),
        reasoning_tokens=int(details.get("thinking_tokens") or 0),
    )


def _sum(counted: Iterable[Json], name: str) -> int:
    return sum(int(one.get(name) or 0) for one in counted)


def render_usage(usage: Usage) -> Json:
    written, hour = usage.cache_write_tokens, usage.cache_write_1h_tokens
    told: Json = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_input_tokens - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour},
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.estimated:
        told["estimated"] = True
    return told
