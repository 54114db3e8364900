"""The models that the simulated Mistral has."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and the names under which it is listed too."""

    name: str
    aliases: tuple[str, ...]
    created: int = 1_764_000_000
    reasons: bool = False
    sees: bool = False
    dimensions: int = 0
    """Of an embedding; 0 for a model that chats."""
    context: int = 131_072

    def card(self, name: str) -> dict[str, Any]:
        chats = not self.dimensions
        names = (self.name, *self.aliases)
        return {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": "mistralai",
            "capabilities": {
                "completion_chat": chats,
                "function_calling": chats,
                "reasoning": self.reasons,
                "completion_fim": False,
                "fine_tuning": False,
                "vision": self.sees,
                "ocr": False,
                "classification": False,
                "moderation": False,
                "audio": False,
            },
            "name": self.name,
            "description": f"{self.name}, simulated",
            "max_context_length": self.context,
            "aliases": [one for one in names if one != name],
            "deprecation": None,
            "deprecation_replacement_model": None,
            "default_model_temperature": 0.7 if self.reasons else 0.3,
            "type": "base",
        }


MODELS = (
    Model("mistral-large-2512", ("mistral-large-latest",), sees=True, context=262_144),
    Model("mistral-medium-2508", ("mistral-medium-latest", "mistral-medium"), sees=True),
    Model("mistral-small-2506", ("mistral-small-latest",), sees=True),
    Model("magistral-medium-2509", ("magistral-medium-latest",), reasons=True, sees=True),
    Model("magistral-small-2509", ("magistral-small-latest",), reasons=True, sees=True),
    Model("codestral-2508", ("codestral-latest",), context=256_000),
    Model("ministral-8b-2512", ("ministral-8b-latest",)),
    Model("mistral-embed-2312", ("mistral-embed",), dimensions=1024, context=8_192),
    Model("codestral-embed-2505", ("codestral-embed",), dimensions=1536, context=8_192),
)
_BY_NAME = {name: model for model in MODELS for name in (model.name, *model.aliases)}
NAMES = tuple(_BY_NAME)


def find_model(name: str, *, faults: frozenset[str]) -> Model | None:
    """By name or alias; `<name>-slow` is the same model, and `fault-<one of faults>` is mistral-large-latest."""
    if name.startswith("fault-") and name.removeprefix("fault-") in faults:
        name = "mistral-large-latest"
    return _BY_NAME.get(name.removesuffix("-slow"))
