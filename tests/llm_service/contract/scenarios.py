"""What is asked, what the provider says to it, and what the client must be told: one row for each thing that the
protocols share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.llm_service.contract.providers import Vendor
from tests.llm_service.contract.surfaces import Surface
from tests.simulators.answers import Answer, Usage, says

Json = dict[str, Any]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAGE = "JVBERi0xLjQKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoK"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
ADDING = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
NOTHING = {"type": "object", "properties": {}}
ANSWER = "Olá! 👋🏽 É Brasília — 日本."


def user(*parts: Json | str) -> Json:
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": "user", "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else content}


def assistant(text: str) -> Json:
    return {"role": "assistant", "content": text}


ASKED = {"messages": [user("Where is it?")]}
OPENAI_TOOLS = [
    {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": ADDING}},
    {"type": "function", "function": {"name": "now", "description": "Tells the time.", "parameters": NOTHING}},
]
ANTHROPIC_TOOLS = [
    {"name": "add", "description": "Adds.", "input_schema": ADDING},
    {"name": "now", "description": "Tells the time.", "input_schema": NOTHING},
]


@dataclass(frozen=True)
class Scenario:
    """`openai` and `anthropic` are the request in either protocol of clients, but for its model; `carries` is what the
    provider must have been sent, whatever its own protocol is."""

    name: str
    openai: Mapping[str, Any]
    anthropic: Mapping[str, Any]
    says: Answer
    carries: tuple[Any, ...] = ()
    sees: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    finish: str = "stop"
    thoughts: str = ""
    thinks: bool = False
    """Whether it is put to a model that thinks."""
    cannot: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Providers that refuse it, with the field that they refuse and the reason."""

    def __str__(self) -> str:
        return self.name

    def asked(self, surface: Surface) -> Mapping[str, Any]:
        return self.openai if surface.dialect == "openai" else self.anthropic

    def model(self, provider: Vendor) -> str:
        return f"{provider.name}/{provider.thinker if self.thinks else provider.model}"


def _same(**fields: Any) -> Json:
    """A request that both protocols write alike."""
    return {"openai": fields, "anthropic": fields}


SCENARIOS = (
    Scenario("text", **_same(**ASKED), says=says(ANSWER), carries=("Where is it?",), sees=ANSWER),
    Scenario("an empty answer", **_same(**ASKED), says=says(""), sees=""),
    Scenario(
        "a system prompt",
        openai={"messages": [{"role": "system", "content": "Be brief."}, user("Where is it?")]},
        anthropic={"system": "Be brief.", "messages": [user("Where is it?")]},
        says=says("There."),
        carries=("Be brief.", "Where is it?"),
        sees="There.",
    ),
    Scenario(
        "a conversation",
        **_same(messages=[user("Pick one."), assistant("Blue."), user("Why?")]),
        says=says("It is calm."),
        carries=("Pick one.", "Blue.", "Why?"),
        sees="It is calm.",
    ),
    Scenario(
        "sampling settings and a limit",
        openai={**ASKED, "temperature": 0.25, "max_completion_tokens": 77},
        anthropic={**ASKED, "temperature": 0.25, "max_tokens": 77},
        says=says(ANSWER),
        carries=(0.25, 77),
        sees=ANSWER,
    ),
    Scenario(
        "stop sequences",
        openai={**ASKED, "stop": ["END", "FIM"]},
        anthropic={**ASKED, "stop_sequences": ["END", "FIM"]},
        says=says(ANSWER),
        carries=(["END", "FIM"],),
        sees=ANSWER,
    ),
    Scenario(
        "a tool",
        openai={**ASKED, "tools": OPENAI_TOOLS},
        anthropic={**ASKED, "tools": ANTHROPIC_TOOLS},
        says=says(calls=[("add", {"a": 1, "b": 2})]),
        carries=(ADDING, "Tells the time."),
        calls=(("add", {"a": 1, "b": 2}),),
        finish="tool_calls",
    ),
    Scenario(
        "parallel tools after a word",
        openai={**ASKED, "tools": OPENAI_TOOLS},
        anthropic={**ASKED, "tools": ANTHROPIC_TOOLS},
        says=says("Let me see.", calls=[("add", {"a": 1, "b": -2}), ("now", {})]),
        sees="Let me see.",
        calls=(("add", {"a": 1, "b": -2}), ("now", {})),
        finish="tool_calls",
    ),
    Scenario(
        "arguments that are deep and not ASCII",
        openai={**ASKED, "tools": OPENAI_TOOLS},
        anthropic={**ASKED, "tools": ANTHROPIC_TOOLS},
        says=says(calls=[("add", {"a": {"ç": ["é", '"', "\\", "\n"]}, "b": [{}, None, 1.5, True]})]),
        calls=(("add", {"a": {"ç": ["é", '"', "\\", "\n"]}, "b": [{}, None, 1.5, True]}),),
        finish="tool_calls",
    ),
    Scenario(
        "an image in the request",
        openai={
            "messages": [user("What?", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})]
        },
        anthropic={
            "messages": [
                user("What?", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
            ]
        },
        says=says("A dot."),
        carries=(PNG, "image/png", "What?"),
        sees="A dot.",
    ),
    Scenario(
        "an image by its address",
        openai={"messages": [user("What?", {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})]},
        anthropic={
            "messages": [
                user("What?", {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})
            ]
        },
        says=says("A dot."),
        carries=("https://example.com/a.png",),
        sees="A dot.",
    ),
    Scenario(
        "a document",
        openai={
            "messages": [
                user(
                    "Sum it up.",
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PAGE}"}},
                )
            ]
        },
        anthropic={
            "messages": [
                user(
                    "Sum it up.",
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PAGE},
                    },
                )
            ]
        },
        says=says("It is empty."),
        carries=(PAGE, "application/pdf"),
        sees="It is empty.",
    ),
    Scenario(
        "structured output",
        openai={
            **ASKED,
            "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}},
        },
        anthropic={**ASKED, "output_config": {"format": {"type": "json_schema", "schema": CITY}}},
        says=says('{"city": "Brasília", "people": 2817381}'),
        carries=(CITY,),
        sees='{"city": "Brasília", "people": 2817381}',
    ),
    Scenario(
        "thinking",
        openai={**ASKED, "reasoning_effort": "medium"},
        anthropic={**ASKED, "thinking": {"type": "enabled", "budget_tokens": 2048}},
        says=says("Brasília.", thinking="It moved in 1960.", signature="EqQBCgIYAhIkNDU2Nzg5"),
        sees="Brasília.",
        thoughts="It moved in 1960.",
        thinks=True,
    ),
    Scenario(
        "thinking before tools",
        openai={**ASKED, "reasoning_effort": "medium", "tools": OPENAI_TOOLS},
        anthropic={**ASKED, "thinking": {"type": "enabled", "budget_tokens": 2048}, "tools": ANTHROPIC_TOOLS},
        says=says(calls=[("now", {})], thinking="I need the time.", signature="EqQBCgIYAhIkNDU2Nzg5"),
        calls=(("now", {}),),
        finish="tool_calls",
        thoughts="I need the time.",
        thinks=True,
    ),
    Scenario(
        "usage by kind",
        **_same(**ASKED),
        says=says("Yes.", usage=Usage(input=1200, output=345, cached=1000, cache_written=100, reasoning=300)),
        sees="Yes.",
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
