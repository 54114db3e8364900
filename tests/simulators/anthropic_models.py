"""The models that the simulated Anthropic has, with what they refuse."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and the dated snapshot by which its answers name it."""

    name: str
    snapshot: str
    title: str
    created: str
    max_output: int = 64_000
    max_input: int = 200_000
    prefills: bool = True
    """Whether a conversation may end in the assistant's words, which the answer goes on with."""
    adaptive_only: bool = False
    """Decides by itself how long to think: takes no `budget_tokens` and no sampling settings."""

    def card(self) -> dict[str, Any]:
        return {
            "type": "model",
            "id": self.snapshot,
            "display_name": self.title,
            "created_at": self.created,
            "max_input_tokens": self.max_input,
            "max_tokens": self.max_output,
        }


def _undated(name: str, title: str, created: str, **traits: Any) -> Model:
    return Model(name, name, title, created, max_output=128_000, max_input=1_000_000, prefills=False, **traits)


MODELS = (
    _undated("claude-fable-5", "Claude Fable 5", "2026-06-30T00:00:00Z", adaptive_only=True),
    _undated("claude-opus-5", "Claude Opus 5", "2026-06-30T00:00:00Z", adaptive_only=True),
    _undated("claude-sonnet-5", "Claude Sonnet 5", "2026-05-28T00:00:00Z", adaptive_only=True),
    _undated("claude-opus-4-8", "Claude Opus 4.8", "2026-05-14T00:00:00Z", adaptive_only=True),
    _undated("claude-opus-4-7", "Claude Opus 4.7", "2026-04-14T00:00:00Z", adaptive_only=True),
    _undated("claude-opus-4-6", "Claude Opus 4.6", "2026-02-04T00:00:00Z"),
    _undated("claude-sonnet-4-6", "Claude Sonnet 4.6", "2026-02-17T00:00:00Z"),
    Model("claude-opus-4-5", "claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-24T00:00:00Z"),
    Model("claude-haiku-4-5", "claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15T00:00:00Z"),
    Model("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z"),
    Model("claude-opus-4-1", "claude-opus-4-1-20250805", "Claude Opus 4.1", "2025-08-05T00:00:00Z", 32_000),
    Model("claude-opus-4-0", "claude-opus-4-20250514", "Claude Opus 4", "2025-05-22T00:00:00Z", 32_000),
    Model("claude-sonnet-4-0", "claude-sonnet-4-20250514", "Claude Sonnet 4", "2025-05-22T00:00:00Z"),
    Model("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219", "Claude Sonnet 3.7", "2025-02-24T00:00:00Z"),
    Model("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", "Claude Haiku 3.5", "2024-10-22T00:00:00Z", 8_192),
    Model("claude-3-opus-latest", "claude-3-opus-20240229", "Claude Opus 3", "2024-02-29T00:00:00Z", 4_096),
    Model("claude-3-haiku", "claude-3-haiku-20240307", "Claude Haiku 3", "2024-03-07T00:00:00Z", 4_096),
)
_BY_NAME = {model.name: model for model in MODELS} | {model.snapshot: model for model in MODELS}


def find_model(name: str, *, faults: frozenset[str]) -> Model | None:
    """By name or snapshot; `<name>-slow` is the same model, and `fault-<one of faults>` is claude-sonnet-4-5."""
    if name.startswith("fault-") and name.removeprefix("fault-") in faults:
        name = "claude-sonnet-4-5"
    return _BY_NAME.get(name.removesuffix("-slow"))
