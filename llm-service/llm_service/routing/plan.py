"""From a request to the ordered targets that may answer it."""

from llm_service.catalogue.service import Catalogue, Target
from llm_service.dialects.ingress import Ingress
from llm_service.errors import ModelNotAllowed
from shared.auth import Policy


async def plan(ingress: Ingress, catalogue: Catalogue, *, policy: Policy) -> tuple[Target, ...]:
    """The model's own targets, then those of `fallbacks`; each once. `fallbacks: []` leaves the first only.

    Raises ModelNotAllowed for any name that the policy does not have (it has names as requests write them: a route's
    name allows its chain), ModelNotFound for any that nobody serves.
    """
    for name in (ingress.model, *(ingress.fallbacks or ())):
        if not policy.allows(name):
            raise ModelNotAllowed(name)
    targets = await catalogue.resolve(ingress.model)
    if ingress.fallbacks is None:
        return _once(targets)
    if not ingress.fallbacks:
        return targets[:1]
    further = [target for name in ingress.fallbacks for target in await catalogue.resolve(name)]
    return _once((*targets, *further))


def _once(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    return tuple({target.name: target for target in targets}.values())
