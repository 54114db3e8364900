"""The models that the simulated Gemini has, with what tells their answers apart on the wire."""

from dataclasses import dataclass
from typing import Any

_CHAT = ("generateContent", "countTokens", "createCachedContent", "batchGenerateContent")
_EMBEDDING = ("embedContent", "countTextTokens", "countTokens", "asyncBatchEmbedContent")


@dataclass(frozen=True, slots=True)
class Model:
    """A model and what it can do."""

    name: str
    title: str
    generation: float
    thinks: bool = True
    must_think: bool = False
    draws: bool = False
    embeds: bool = False
    max_input: int = 1_048_576
    max_output: int = 65_536
    dimensions: int = 0

    @property
    def signs(self) -> bool:
        """Signs its calls of tools, and wants the signatures back."""
        return self.generation >= 3

    def card(self) -> dict[str, Any]:
        card: dict[str, Any] = {
            "name": f"models/{self.name}",
            "version": self.name.removeprefix("gemini-"),
            "displayName": self.title,
            "description": f"{self.title}, simulated",
            "inputTokenLimit": self.max_input,
            "outputTokenLimit": self.max_output,
            "supportedGenerationMethods": [*(_EMBEDDING if self.embeds else _CHAT)],
        }
        if self.embeds:
            return card
        sampling = {"temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 2}
        return {**card, **sampling, **({"thinking": True} if self.thinks else {})}


MODELS = (
    Model("gemini-2.5-flash", "Gemini 2.5 Flash", 2.5),
    Model("gemini-2.5-pro", "Gemini 2.5 Pro", 2.5, must_think=True),
    Model("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 2.5),
    Model("gemini-2.0-flash", "Gemini 2.0 Flash", 2.0, thinks=False, max_output=8_192),
    Model("gemini-2.0-flash-exp", "Gemini 2.0 Flash Experimental", 2.0, thinks=False, max_output=8_192),
    Model("gemini-1.5-flash", "Gemini 1.5 Flash", 1.5, thinks=False, max_output=8_192),
    Model("gemini-2.5-flash-image", "Nano Banana", 2.5, thinks=False, draws=True, max_input=32_768, max_output=32_768),
    Model("gemini-3-pro-preview", "Gemini 3 Pro Preview", 3.0, must_think=True),
    Model("gemini-3-flash-preview", "Gemini 3 Flash Preview", 3.0),
    Model("gemini-3.1-flash-lite", "Gemini 3.1 Flash Lite", 3.1),
    Model(
        "gemini-embedding-001", "Gemini Embedding 001", 1, embeds=True, max_input=2048, max_output=1, dimensions=3072
    ),
    Model("text-embedding-004", "Text Embedding 004", 1, embeds=True, max_input=2048, max_output=1, dimensions=768),
)
_BY_NAME = {model.name: model for model in MODELS}


def find_model(name: str, *, faults: frozenset[str]) -> Model | None:
    """By name; `<name>-slow` is the same model, and `fault-<one of faults>` is gemini-2.5-flash."""
    if name.startswith("fault-") and name.removeprefix("fault-") in faults:
        name = "gemini-2.5-flash"
    return _BY_NAME.get(name.removesuffix("-slow"))
