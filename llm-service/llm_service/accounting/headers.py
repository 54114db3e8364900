"""What the headers of an answer tell of its making."""

from functools import lru_cache
from urllib.parse import quote

from llm_service.accounting.service import Account
from llm_service.routing.attempts import Attempt
from shared.money import plain

READABLE = "!#$&'()*+,/:;=?@[] "
"""What names keep in a header; the rest is percent-encoded, as a provider may call its models anything."""


def answer_headers(account: Account, committed: Attempt) -> dict[str, str]:
    """Of the attempt that committed, the last one, unless the answer was kept. The cost is there once the account is
    closed."""
    target = committed.target
    answering = [attempt for attempt in account.attempts if attempt.purpose == "answer"]
    headers = {
        "x-synapscale-model": _readable(target.model),
        "x-synapscale-provider": _readable(target.provider.name),
        "x-synapscale-attempts": str(sum(attempt.result != "skipped" for attempt in answering)),
        "x-synapscale-fallback": "true" if answering and target is not answering[0].target else "false",
        "x-synapscale-overhead-ms": f"{account.overhead_ms:.1f}",
        "x-synapscale-ledger-id": account.name,
    }
    if account.cost_usd is not None:
        headers["x-synapscale-cost-usd"] = plain(account.cost_usd)
    if committed.dropped:
        headers["x-synapscale-dropped"] = _readable(", ".join(committed.dropped))
    if committed.output_limit is not None:
        headers["x-synapscale-max-output-tokens"] = str(committed.output_limit)
    if committed.context:
        headers["x-synapscale-context"] = committed.context
    if committed.recorded:
        headers["x-synapscale-cache"] = "miss"
    if committed.age is not None:
        headers |= {"x-synapscale-cache": "hit", "age": str(int(committed.age))}
    return headers


@lru_cache(maxsize=1024)
def _readable(name: str) -> str:
    return quote(name, safe=READABLE)
