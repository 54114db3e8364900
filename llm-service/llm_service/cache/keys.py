"""When two requests are the same."""

import hashlib
from collections.abc import Iterable

import msgspec

from llm_service.catalogue.service import Target
from llm_service.dialects.ingress import Ingress

PREFIX = "synapscale:answers"
CHANGE_NOTHING = frozenset(
    {
        *("stream", "stream_options", "user", "metadata", "cache"),
        *("store", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"),
    }
)
"""Fields that change how an answer is told, labelled or kept, and not what it says."""


def key_of(ingress: Ingress, targets: Iterable[Target], *, organization_id: str) -> str:
    """The organization stands in the key and in what is hashed: no answer is found from another one's.

    The targets are those that may answer, in any order, so that a changed route has no answers of its old chain.
    """
    asked = {
        "organization": organization_id,
        "dialect": ingress.dialect.name,
        "headers": ingress.headers,
        "model": ingress.model,
        "targets": sorted(target.name for target in targets),
        "body": {name: value for name, value in ingress.body.items() if name not in CHANGE_NOTHING},
    }
    canonical = msgspec.json.encode(asked, order="deterministic")
    return f"{PREFIX}:{organization_id}:{hashlib.sha256(canonical).hexdigest()}"
