"""What is done about each kind of failure, in one table."""

from typing import NamedTuple

from llm_service.errors import Kind


class Policy(NamedTuple):
    """What is done about one kind of failure."""

    retry: bool
    """Try the same target once more, after a moment."""
    fall_back: bool
    """Try the next target."""


POLICIES: dict[Kind, Policy] = {
    Kind.UNREACHABLE: Policy(retry=True, fall_back=True),
    Kind.OVERLOADED: Policy(retry=True, fall_back=True),
    Kind.SERVER: Policy(retry=True, fall_back=True),
    Kind.TRUNCATED: Policy(retry=True, fall_back=True),
    Kind.TIMEOUT: Policy(retry=False, fall_back=True),  # silence is not asked twice
    Kind.INVALID_ANSWER: Policy(retry=False, fall_back=True),
    Kind.RATE_LIMITED: Policy(retry=False, fall_back=True),
    Kind.CREDENTIALS: Policy(retry=False, fall_back=True),
    Kind.MODEL_UNKNOWN: Policy(retry=False, fall_back=True),
    Kind.NOT_EXPRESSIBLE: Policy(retry=False, fall_back=True),
    Kind.BAD_REQUEST: Policy(retry=False, fall_back=False),  # it would be as bad elsewhere
    Kind.CONTEXT_OVERFLOW: Policy(retry=False, fall_back=False),
    Kind.CONTENT_FILTER: Policy(retry=False, fall_back=False),  # a refusal is not routed around
}

RETRY_AFTER = (0.05, 0.25)
"""Seconds before the same target is tried again: a random time in between, so that many do not come back at once."""
