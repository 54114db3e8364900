"""Reading `generateContent` as Gemini does, refusals included."""

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Limits, Turn, count_tokens
from tests.simulators.gemini_errors import Refusal, rule
from tests.simulators.gemini_models import Model
from tests.simulators.gemini_schema import read

_WORDS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
UNSIGNED = (*_WORDS, *(base64.b64encode(word.encode()).decode() for word in _WORDS))
"""What Google takes in place of a signature, as its page writes it and as its SDK does, which encodes all bytes:
https://ai.google.dev/gemini-api/docs/thought-signatures#faqs."""
_IMAGES = "image/"


@dataclass(frozen=True, slots=True)
class ContentRequest:
    """What a valid request asks for."""

    model: Model
    turns: tuple[Turn, ...]
    limits: Limits
    shows_thoughts: bool
    logprobs: int | None
    """How many alternatives to each token are told, None for not even the chosen ones."""
    images: int

    @property
    def prompt_tokens(self) -> int:
        """258 for a picture, as Gemini counts small ones."""
        return sum(count_tokens(turn.text) for turn in self.turns) + 258 * self.images


def parse_content(body: dict[str, Any], model: Model, signatures: Collection[str] | None) -> ContentRequest:
    """Raises the Refusal with which Gemini would answer `body`; a part may carry only one of `signatures`, if any."""
    given = read(body, "GenerateContentRequest")
    config = given.get("generationConfig", {})
    contents = given.get("contents", [])
    if not contents:
        raise rule("contents", "contents is not specified")
    _check_config(config, model)
    limits = _read_limits(given, config)
    if given.get("tools") and config.get("responseMimeType") == "application/json" and not model.signs:
        raise Refusal("Function calling with a response mime type: 'application/json' is unsupported")
    turns = [Turn("system", _text(given["systemInstruction"]))] if "systemInstruction" in given else []
    turns += _read_contents(contents, model, signatures)
    parts = [part for content in contents for part in content["parts"]]
    return ContentRequest(
        model=model,
        turns=tuple(turns),
        limits=limits,
        shows_thoughts=config.get("thinkingConfig", {}).get("includeThoughts", False) and model.thinks,
        logprobs=config.get("logprobs", 0) if config.get("responseLogprobs") else None,
        images=sum(part.get("inlineData", {}).get("mimeType", "").startswith(_IMAGES) for part in parts),
    )


def _check_config(config: Mapping[str, Any], model: Model) -> None:
    for name, least, most in (("temperature", 0, 2), ("topP", 0, 1), ("candidateCount", 1, 8)):
        if name in config and not least <= config[name] <= most:
            place = f"generation_config.{re.sub('[A-Z]', lambda match: '_' + match[0].lower(), name)}"
            raise rule(place, f"{place.rpartition('.')[2]} must be in the range [{least}, {most}].")
    if config.get("candidateCount", 1) > 1:
        raise Refusal("Multiple candidates is not enabled for this model")
    if config.get("maxOutputTokens", 1) < 1:
        raise rule("generation_config.max_output_tokens", "max_output_tokens must be positive.")
    if len(config.get("stopSequences", ())) > 5:
        raise rule("generation_config.stop_sequences", "at most 5 stop sequences are allowed.")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise Refusal("logprobs is only allowed when response_logprobs is enabled.")
    schemas = {"responseSchema", "responseJsonSchema"} & config.keys()
    if len(schemas) > 1:
        raise Refusal("Only one of response_schema and response_json_schema can be set.")
    if schemas and config.get("responseMimeType") not in ("application/json", "text/x.enum"):
        raise rule("generation_config.response_mime_type", "must be `application/json` where a response schema is set.")
    _check_thinking(config.get("thinkingConfig", {}), model)


def _check_thinking(thinking: Mapping[str, Any], model: Model) -> None:
    if {"thinkingBudget", "thinkingLevel"} <= thinking.keys():
        raise Refusal("You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and not model.signs:
        raise Refusal("Thinking level is not supported for this model.")
    if thinking.get("thinkingBudget", 0) and not model.thinks:
        raise Refusal("Thinking is not enabled for this model.")
    if thinking.get("thinkingBudget") == 0 and model.must_think:
        raise Refusal("Budget 0 is invalid. This model only works in thinking mode.")


def _read_limits(given: Mapping[str, Any], config: Mapping[str, Any]) -> Limits:
    declared = [one for tool in given.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    names: list[str] = []
    for index, declaration in enumerate(declared):
        name = declaration.get("name", "")
        place = f"tools[0].function_declarations[{index}].name"
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", name):
            raise rule(
                place,
                "Invalid function name. Must start with a letter or an underscore. Additionally, it must be "
                "alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum "
                "length of 128.",
            )
        if name in names:
            raise rule(place, f"Duplicate function declaration found: {name}")
        names.append(name)
    calling = given.get("toolConfig", {}).get("functionCallingConfig", {})
    mode = calling.get("mode", "AUTO")
    allowed = calling.get("allowedFunctionNames", [])
    if mode == "ANY" and not names:
        raise Refusal("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise Refusal("Allowed function names should be set only when the function calling mode is ANY or VALIDATED.")
    if unknown := [name for name in allowed if name not in names]:
        raise Refusal(f"allowed_function_names contains a name that is not declared: {unknown[0]}")
    return Limits(
        tools=() if mode == "NONE" else tuple(allowed or names),
        must_call=mode == "ANY",
        max_tokens=config.get("maxOutputTokens"),
        stop=tuple(config.get("stopSequences", ())),
    )


def _read_contents(contents: list[Any], model: Model, signatures: Collection[str] | None) -> list[Turn]:
    turns: list[Turn] = []
    asked: list[str] = []
    for index, content in enumerate(contents):
        role = content.get("role", "user")
        if role not in ("user", "model", "function"):
            raise Refusal("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise rule(f"contents[{index}].parts", "contents.parts must not be empty.")
        for at, part in enumerate(content["parts"]):
            _check_part(part, f"contents[{index}].parts[{at}]", signatures)
        calls = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        _check_pairing(asked, calls, len(results), follows=bool(turns), role=role)
        asked = calls
        turns += [Turn("tool", _result(result)) for result in results]
        if len(results) < len(content["parts"]):
            turns.append(Turn("assistant" if role == "model" else "user", _text(content)))
    if asked:
        raise Refusal(_UNPAIRED)
    if model.signs:
        _check_signed(contents)
    return turns


def _check_part(part: Mapping[str, Any], place: str, signatures: Collection[str] | None) -> None:
    held = {"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode"}
    held |= {"codeExecutionResult", "toolCall", "toolResponse"}
    found = [name for name in part if name in held]
    if not found and "thoughtSignature" not in part:
        raise rule(f"{place}.data", "required oneof field 'data' must have one initialized field")
    if len(found) > 1:
        raise Refusal(f"Invalid value at '{place}' (oneof), oneof field 'data' is already set. Cannot set '{found[1]}'")
    for name, field, words in (
        ("functionCall", "name", "Name cannot be empty."),
        ("functionResponse", "name", "Name cannot be empty."),
        ("inlineData", "mimeType", "mime_type must not be empty."),
        ("fileData", "fileUri", "file_uri must not be empty."),
    ):
        if name in part and not part[name].get(field):
            snake = re.sub("[A-Z]", lambda match: "_" + match[0].lower(), f"{name}.{field}")
            raise rule(f"{place}.{snake}", words)
    signature = part.get("thoughtSignature")
    if signatures is not None and signature is not None:
        plain = signature.replace("-", "+").replace("_", "/")
        known = {one.replace("-", "+").replace("_", "/") for one in (*signatures, *UNSIGNED)}
        if plain.rstrip("=") not in {one.rstrip("=") for one in known}:
            raise Refusal("Thought signature is not valid")


_UNPAIRED = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)


def _check_pairing(asked: list[str], calls: list[str], results: int, *, follows: bool, role: str) -> None:
    if results and not asked:
        raise Refusal("Please ensure that function response turn comes immediately after a function call turn.")
    if len(asked) != results:
        raise Refusal(_UNPAIRED)
    if calls and (not follows or role != "model"):
        raise Refusal(
            "Please ensure that function call turn comes immediately after a user turn or after a function response "
            "turn."
        )


def _check_signed(contents: list[Any]) -> None:
    """Since the last words of the user, the first call of each turn has to carry its signature."""
    last = max((at for at, content in enumerate(contents) if _speaks(content)), default=-1)
    for at, content in enumerate(contents[last + 1 :], last + 1):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and "thoughtSignature" not in calls[0]:
            raise Refusal(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{calls[0]['functionCall']['name']}` , position {at + 1}. Please "
                "refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )


def _speaks(content: Mapping[str, Any]) -> bool:
    said = not any("functionResponse" in part for part in content["parts"])
    return content.get("role", "user") == "user" and said


def _text(content: Mapping[str, Any]) -> str:
    return "\n".join(_texts(content.get("parts", ())))


def _texts(parts: Collection[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        if part.get("text") and not part.get("thought"):
            yield part["text"]


def _result(result: Mapping[str, Any]) -> str:
    """The words of a result; Google's own clients wrap a text in `result` or `output`."""
    response = result.get("response", {})
    for name in ("result", "output", "return_value", "error"):
        if isinstance(response.get(name), str):
            return str(response[name])
    return json.dumps(response, ensure_ascii=False)
