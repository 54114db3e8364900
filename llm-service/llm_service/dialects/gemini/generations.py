"""What Gemini's API takes differs by the model's generation (https://ai.google.dev/gemini-api/docs/gemini-3).

Before 3: thinking by a budget instead of a level, no JSON output beside tools, no media inside a function's response.
A name without a number (`gemini-flash-latest`, `gemma-…`) is taken for a current one.
"""

import re
from typing import Any

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Thinking

_NUMBER = re.compile(r"gemini-(\d+)")

LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
"""Tokens, as Google's own OpenAI endpoint translates effort (https://ai.google.dev/gemini-api/docs/openai)."""
LARGEST_BUDGET = 24_576
LARGEST_BUDGET_OF_PRO = 32_768


def is_before_3(model: str) -> bool:
    found = _NUMBER.search(model)
    return found is not None and int(found[1]) < 3


def is_pro(model: str) -> bool:
    """A pro model always thinks."""
    return "-pro" in model


def thinking_config(thinking: Thinking, *, model: str, losses: Losses) -> dict[str, Any]:
    """`generationConfig.thinkingConfig`. Level and budget exclude each other: of both, the budget holds.

    Who asks for thinking is shown it, as by the providers that do not have to be asked; the tokens are the same.
    """
    config: dict[str, Any] = {}
    asked = thinking.enabled or thinking.budget is not None or thinking.effort not in (None, "none")
    if thinking.visible is not None:
        config["includeThoughts"] = thinking.visible
    elif asked and thinking.enabled is not False:
        config["includeThoughts"] = True
    field = "thinking" if thinking.budget is not None else "reasoning_effort"
    old = is_before_3(model)
    if thinking.enabled is False or thinking.effort == "none":
        if is_pro(model):
            losses.drop(field, target="gemini")
        elif old:
            config["thinkingBudget"] = 0
        else:
            config["thinkingLevel"] = "MINIMAL"
    elif thinking.budget is not None:
        largest = LARGEST_BUDGET_OF_PRO if is_pro(model) else LARGEST_BUDGET
        config["thinkingBudget"] = min(thinking.budget, largest) if old else thinking.budget
    elif thinking.effort is not None:
        if thinking.effort not in LEVELS:
            losses.drop(field, target="gemini")
        elif old:
            config["thinkingBudget"] = BUDGETS[thinking.effort]
        else:
            level = LEVELS[thinking.effort]
            config["thinkingLevel"] = "LOW" if level == "MINIMAL" and is_pro(model) else level
    elif thinking.enabled and old:
        config["thinkingBudget"] = -1  # as much as it likes
    return config
