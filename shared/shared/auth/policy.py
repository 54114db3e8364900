"""What an API key may use: limits that travel in the token, so that no request looks them up."""

from decimal import Decimal
from typing import Literal

import msgspec

Period = Literal["day", "week", "month", "total"]


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `usd` (US dollars) per calendar period in UTC; weeks begin on Monday."""

    usd: Decimal
    period: Period


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claim `policy` of an access token. None is no limit.

    The gateway keeps `requests_per_minute`, llm-service the others. `key` is the API key whose limits these are, so
    that a service that acts for the key spends from the same budget.
    """

    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    budget: Budget | None = None
    key: str | None = None

    def allows(self, model: str) -> bool:
        return self.models is None or model in self.models


UNLIMITED = Policy()
