"""A provider's keys: several share its traffic by weight, and one that is refused or throttled rests."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class ApiKey:
    """`name` is what logs and the ledger know it by; the secret is in no representation."""

    name: str
    secret: str = field(repr=False)
    weight: int = 1
    resting_until: float = 0.0
    """By the monotonic clock."""

    @property
    def rests(self) -> bool:
        return self.resting_until > time.monotonic()

    def rest(self, seconds: float) -> None:
        self.resting_until = max(self.resting_until, time.monotonic() + seconds)


class Keys:
    """None at all suits a server that asks for none."""

    def __init__(self, keys: Sequence[ApiKey] = ()) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def choose(self, *, tried: Sequence[ApiKey] = ()) -> ApiKey | None:
        """One that does not rest and was not `tried`, at random by weight; None where there is none."""
        able = [key for key in self._keys if key not in tried and not key.rests]
        if not able:
            return None
        return random.choices(able, [key.weight for key in able])[0]  # noqa: S311 # a share of traffic, no secret

    def rested_in(self) -> float:
        """Seconds until the first key may be used again; 0 where one may now."""
        now = time.monotonic()
        return max(0.0, min((key.resting_until - now for key in self._keys), default=0.0))
