"""From a request to the ordered targets that may answer it."""

import random
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from llm_service.catalogue.service import Catalogue, Option, Target
from llm_service.config import Mode, RouteConfig
from llm_service.dialects.ingress import Ingress, Need
from llm_service.errors import ModelNotAllowed
from llm_service.routing.observed import Observed
from shared.auth import Policy
from shared.events import Usage

ASSUMED_OUTPUT = 500
"""Tokens that an answer is taken to have where models are compared by cost or speed."""


class Plan(msgspec.Struct, frozen=True):
    """Targets in the order in which they are tried, each once."""

    targets: tuple[Target, ...]
    reroute_refused: bool = False
    """Whether what one target's content policy refuses may be asked of the next."""
    route: RouteConfig | None = None
    """What the configuration says of the name that was asked for, where it is a route's."""


async def plan(ingress: Ingress, catalogue: Catalogue, observed: Observed, *, policy: Policy) -> Plan:
    """The model's own targets by the mode asked for, then those of `fallbacks`; `fallbacks: []` leaves the first only.

    Raises ModelNotAllowed for any name that the policy does not have (it has names as requests write them: a route's
    name allows its chain), ModelNotFound for any that nobody serves.
    """
    if policy.models is not None:
        for name in (ingress.model, *(ingress.fallbacks or ()), *ingress.further_models):
            if not policy.allows(name):
                raise ModelNotAllowed(name)
    resolved = await catalogue.resolve(ingress.model)
    route = resolved.route
    if resolved.only is not None and not ingress.fallbacks:
        return Plan((resolved.only,), reroute_refused=bool(route and route.reroute_refused), route=route)
    mode = ingress.routing.mode or (route.mode if route else None) or catalogue.config.defaults.mode
    steps = [_able(step, ingress) for step in resolved.steps]
    options = _suited([option for step in steps for option in _spread(step)], ingress)
    targets = _ordered([option.target for option in options], ingress, observed, mode=mode)
    if ingress.fallbacks == []:
        targets = targets[:1]
    for name in ingress.fallbacks or ():
        further = await catalogue.resolve(name)
        targets += [option.target for step in further.steps for option in step]
    return Plan(_once(targets), reroute_refused=bool(route and route.reroute_refused), route=route)


def _able(step: Sequence[Option], ingress: Ingress) -> list[Option]:
    """Without those that are for requests of another kind."""
    return [option for option in step if not option.choice.when or option.choice.when <= ingress.needs]


def _spread(step: list[Option]) -> list[Option]:
    """A step's options in an order drawn by weight: the first answers, the others stand behind it."""
    if len(step) < 2 or len({option.choice.model for option in step}) < 2:
        return step
    drawn = []
    while step:
        one = random.choices(step, [option.choice.weight for option in step])[0]  # noqa: S311 # a share of traffic
        drawn.append(one)
        step = [option for option in step if option is not one]
    return drawn


def _suited(options: list[Option], ingress: Ingress) -> list[Option]:
    """Without those that are known to be unable; all of them where that leaves none: then the provider says why."""
    if len(options) < 2:
        return options
    return [one for one in options if _suits(one.target, ingress)] or options


def _suits(target: Target, ingress: Ingress) -> bool:
    facts = target.facts
    if facts.input is not None and not facts.input.issuperset(_shown(ingress.needs)):
        return False
    if facts.can is not None and not facts.can.issuperset(_asked(ingress.needs)):
        return False
    return facts.context_window is None or ingress.tokens_for(target.provider.dialect) <= facts.context_window


def _shown(needs: Iterable[Need]) -> set[str]:
    return {need for need in needs if need in ("image", "audio", "document")}


def _asked(needs: Iterable[Need]) -> set[str]:
    return {need for need in needs if need in ("tools", "json_schema", "thinking")}


def _ordered(targets: list[Target], ingress: Ingress, observed: Observed, *, mode: Mode) -> list[Target]:
    """Stable: what is alike, or unknown, keeps its place in the chain."""
    if len(targets) < 2:
        return targets
    match mode:
        case "ordered":
            return targets
        case "cheapest":
            return sorted(targets, key=lambda target: _cost(target, ingress))
        case "fastest":
            return sorted(targets, key=lambda target: observed.of(target).seconds_for(ASSUMED_OUTPUT) or 0.0)


def _cost(target: Target, ingress: Ingress) -> Decimal:
    """Of the request, about; a model without a known price comes last."""
    if target.facts.prices is None:
        return Decimal("Infinity")
    usage = Usage(input_tokens=ingress.tokens_for(target.provider.dialect), output_tokens=ASSUMED_OUTPUT)
    return target.facts.prices.cost(usage)


def _once(targets: list[Target]) -> tuple[Target, ...]:
    return tuple({target.name: target for target in targets}.values())
