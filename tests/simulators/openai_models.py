"""The models that the simulated OpenAI has, with what tells their answers apart on the wire."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and the dated snapshot by which its answers name it."""

    name: str
    snapshot: str
    created: int
    fingerprint: str | None = None
    logprobs: bool = False
    """Whether a choice has the key `logprobs`: reasoning and search models leave it out."""
    reasons: bool = False
    """Takes `max_completion_tokens` only, and no temperature but 1."""
    searches: bool = False
    """Takes `web_search_options`; its answers name no service tier."""
    refused_roles: frozenset[str] = frozenset()


_INSTRUCTING = frozenset({"system", "developer"})

MODELS = (
    Model("gpt-4", "gpt-4-0613", 1_687_882_411, None, logprobs=True),
    Model("gpt-4-turbo", "gpt-4-turbo-2024-04-09", 1_712_361_441, "fp_5603ee5e2e", logprobs=True),
    Model("gpt-4o", "gpt-4o-2024-08-06", 1_715_367_049, "fp_f33640a400", logprobs=True),
    Model("gpt-4o-mini", "gpt-4o-mini-2024-07-18", 1_721_172_741, "fp_d0469e1700", logprobs=True),
    Model("gpt-4o-search-preview", "gpt-4o-search-preview-2025-03-11", 1_741_388_720, "", searches=True),
    Model("gpt-4.1", "gpt-4.1-2025-04-14", 1_744_316_542, "fp_b3f1157249", logprobs=True),
    Model("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", 1_744_318_173, "fp_38647f5e19", logprobs=True),
    Model("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", 1_744_321_707, "fp_38343a2f8f", logprobs=True),
    Model("gpt-4.5-preview", "gpt-4.5-preview-2025-02-27", 1_740_623_059),
    Model("gpt-5", "gpt-5-2025-08-07", 1_754_425_777, reasons=True),
    Model("gpt-5-mini", "gpt-5-mini-2025-08-07", 1_754_425_928, reasons=True),
    Model("o1-mini", "o1-mini-2024-09-12", 1_725_649_008, "fp_79455e3cfb", reasons=True, refused_roles=_INSTRUCTING),
    Model("o3", "o3-2025-04-16", 1_744_225_308, reasons=True),
    Model("o3-mini", "o3-mini-2025-01-31", 1_737_146_383, "fp_e20469f047", reasons=True),
    Model("o4-mini", "o4-mini-2025-04-16", 1_744_225_351, reasons=True),
)

_BY_NAME = {model.name: model for model in MODELS} | {model.snapshot: model for model in MODELS}


def find_model(name: str, *, faults: frozenset[str]) -> Model | None:
    """By name or snapshot; `<name>-slow` is the same model, and `fault-<one of faults>` is gpt-4o."""
    if name.removeprefix("fault-") in faults and name.startswith("fault-"):
        name = "gpt-4o"
    return _BY_NAME.get(name.removesuffix("-slow"))
