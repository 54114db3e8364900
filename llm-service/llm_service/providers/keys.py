"""A provider's keys: they share its requests by weight, and one that is refused or throttled rests."""

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from llm_service.errors import Kind

EVERY_MODEL = ""
AWAKE = (0.0, Kind.RATE_LIMITED)
MOST_MODELS = 1000
"""Models that a key is remembered to rest for; names of models come from clients."""


@dataclass(slots=True, eq=False)
class ApiKey:
    """`name` is what logs and the ledger know it by; the secret is in no representation."""

    name: str
    secret: str = field(repr=False)
    weight: int = 1
    _rests: dict[str, tuple[float, Kind]] = field(default_factory=dict, repr=False)
    """Until when (by the monotonic clock) and why, for which model."""

    def rest(self, seconds: float, why: Kind, *, model: str = EVERY_MODEL) -> None:
        if len(self._rests) >= MOST_MODELS:
            self._rests.clear()
        self._rests[model] = max(self._rests.get(model, AWAKE), (time.monotonic() + seconds, why))

    def rested_in(self, model: str = EVERY_MODEL) -> float:
        """Seconds until it may be used for `model`; 0 where it may now."""
        if not self._rests:
            return 0.0
        return max(0.0, self._rest(model)[0] - time.monotonic())

    def why(self, model: str) -> Kind:
        """What made it rest for `model`."""
        return self._rest(model)[1]

    @property
    def longest_rest(self) -> float:
        """Seconds until it may be used for every model."""
        return max([0.0, *(until - time.monotonic() for until, _ in self._rests.values())])

    def _rest(self, model: str) -> tuple[float, Kind]:
        return max(self._rests.get(EVERY_MODEL, AWAKE), self._rests.get(model, AWAKE))


class Keys:
    """None at all suits a server that asks for none."""

    def __init__(self, keys: Sequence[ApiKey] = ()) -> None:
        self.all = tuple(keys)

    def choose(self, *, model: str = EVERY_MODEL, tried: Collection[ApiKey] = ()) -> ApiKey | None:
        """One that does not rest and was not `tried`, at random by weight; None where there is none."""
        if len(self.all) == 1:
            key = self.all[0]
            return None if key in tried or key.rested_in(model) else key
        able = [key for key in self.all if key not in tried and not key.rested_in(model)]
        if len(able) < 2:
            return able[0] if able else None
        return random.choices(able, [key.weight for key in able])[0]  # noqa: S311 # a share of traffic, no secret

    def first_rested(self, model: str) -> ApiKey:
        """The one that may be used for `model` first; there must be one."""
        return min(self.all, key=lambda key: key.rested_in(model))
