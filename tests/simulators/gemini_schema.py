"""The messages that a Gemini request is made of, checked as Google's servers read JSON: https://ai.google.dev/api.

A name may be written in camelCase or in snake_case. One that no message has is refused, and so is a value of another
type.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Literal

from tests.simulators.gemini_errors import Refusal, invalid_value, unknown_name

Scalar = Literal["string", "bool", "int32", "float", "bytes", "struct", "value"]
Kind = str | list[Any] | dict[str, Any]
"""A scalar, an enum as `enum:A|B`, the name of a message, or one of these in a list."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int32": (int,),
    "float": (int, float),
    "bytes": (str,),
    "struct": (dict,),
    "value": (object,),
}
_CATEGORIES = "|".join(
    f"HARM_CATEGORY_{name}"
    for name in (
        "UNSPECIFIED",
        "HARASSMENT",
        "HATE_SPEECH",
        "SEXUALLY_EXPLICIT",
        "DANGEROUS_CONTENT",
        "CIVIC_INTEGRITY",
    )
)
_THRESHOLDS = (
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED|BLOCK_LOW_AND_ABOVE|BLOCK_MEDIUM_AND_ABOVE|BLOCK_ONLY_HIGH|BLOCK_NONE|OFF"
)
_RESOLUTIONS = "MEDIA_RESOLUTION_UNSPECIFIED|MEDIA_RESOLUTION_LOW|MEDIA_RESOLUTION_MEDIUM|MEDIA_RESOLUTION_HIGH"

MESSAGES: Mapping[str, Mapping[str, Kind]] = {
    "GenerateContentRequest": {
        "model": "string",
        "contents": ["Content"],
        "systemInstruction": "Content",
        "tools": ["Tool"],
        "toolConfig": "ToolConfig",
        "safetySettings": ["SafetySetting"],
        "generationConfig": "GenerationConfig",
        "cachedContent": "string",
        "serviceTier": "enum:unspecified|standard|flex|priority",
        "store": "bool",
    },
    "CountTokensRequest": {"contents": ["Content"], "generateContentRequest": "GenerateContentRequest"},
    "EmbedContentRequest": {
        "model": "string",
        "content": "Content",
        "taskType": "string",
        "title": "string",
        "outputDimensionality": "int32",
    },
    "BatchEmbedContentsRequest": {"requests": ["EmbedContentRequest"]},
    "Content": {"role": "string", "parts": ["Part"]},
    "Part": {
        "text": "string",
        "thought": "bool",
        "thoughtSignature": "bytes",
        "inlineData": "Blob",
        "fileData": "FileData",
        "functionCall": "FunctionCall",
        "functionResponse": "FunctionResponse",
        "executableCode": "struct",
        "codeExecutionResult": "struct",
        "videoMetadata": "struct",
        "mediaResolution": "struct",
        "partMetadata": "struct",
        "toolCall": "struct",
        "toolResponse": "struct",
    },
    "Blob": {"mimeType": "string", "data": "bytes"},
    "FileData": {"mimeType": "string", "fileUri": "string"},
    "FunctionCall": {"id": "string", "name": "string", "args": "struct"},
    "FunctionResponse": {
        "id": "string",
        "name": "string",
        "response": "struct",
        "parts": ["struct"],
        "willContinue": "bool",
        "scheduling": "string",
    },
    "Tool": {
        "functionDeclarations": ["FunctionDeclaration"],
        "googleSearch": "struct",
        "googleSearchRetrieval": "struct",
        "codeExecution": "struct",
        "urlContext": "struct",
        "fileSearch": "struct",
        "googleMaps": "struct",
        "computerUse": "struct",
        "mcpServers": ["struct"],
    },
    "FunctionDeclaration": {
        "name": "string",
        "description": "string",
        "parameters": "Schema",
        "parametersJsonSchema": "value",
        "response": "Schema",
        "responseJsonSchema": "value",
        "behavior": "string",
    },
    "Schema": {
        **dict.fromkeys(("format", "title", "description", "pattern"), "string"),
        "type": "string",
        "nullable": "bool",
        "enum": ["string"],
        "items": "Schema",
        "properties": {"": "Schema"},
        "required": ["string"],
        "propertyOrdering": ["string"],
        "anyOf": ["Schema"],
        **dict.fromkeys(("example", "default"), "value"),
        **dict.fromkeys(("minimum", "maximum"), "float"),
        **dict.fromkeys(
            ("maxItems", "minItems", "minProperties", "maxProperties", "minLength", "maxLength"), "value"
        ),  # an int64 may come as a string
    },
    "ToolConfig": {
        "functionCallingConfig": "FunctionCallingConfig",
        "retrievalConfig": "struct",
        "includeServerSideToolInvocations": "bool",
    },
    "FunctionCallingConfig": {
        "mode": "enum:MODE_UNSPECIFIED|AUTO|ANY|NONE|VALIDATED",
        "allowedFunctionNames": ["string"],
    },
    "SafetySetting": {"category": f"enum:{_CATEGORIES}", "threshold": f"enum:{_THRESHOLDS}"},
    "ThinkingConfig": {
        "includeThoughts": "bool",
        "thinkingBudget": "int32",
        "thinkingLevel": "enum:THINKING_LEVEL_UNSPECIFIED|MINIMAL|LOW|MEDIUM|HIGH",
    },
    "GenerationConfig": {
        "stopSequences": ["string"],
        "responseMimeType": "string",
        "responseSchema": "Schema",
        "responseJsonSchema": "value",
        "responseModalities": ["enum:MODALITY_UNSPECIFIED|TEXT|IMAGE|AUDIO|VIDEO"],
        "responseFormat": "value",
        "candidateCount": "int32",
        "maxOutputTokens": "int32",
        "temperature": "float",
        "topP": "float",
        "topK": "int32",
        "seed": "int32",
        "presencePenalty": "float",
        "frequencyPenalty": "float",
        "responseLogprobs": "bool",
        "logprobs": "int32",
        "enableEnhancedCivicAnswers": "bool",
        "speechConfig": "struct",
        "thinkingConfig": "ThinkingConfig",
        "imageConfig": "struct",
        "mediaResolution": f"enum:{_RESOLUTIONS}",
    },
}
_INSENSITIVE = {"unspecified|standard|flex|priority", "THINKING_LEVEL_UNSPECIFIED|MINIMAL|LOW|MEDIUM|HIGH"}


def read(given: Any, message: str, place: str = "") -> dict[str, Any]:
    """`given` with all names in camelCase; raises the Refusal of what does not belong there."""
    if not isinstance(given, dict):
        raise invalid_value(place, message, given)
    fields = MESSAGES[message]
    known: dict[str, Any] = {}
    for name, value in given.items():
        camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
        if camel not in fields:
            raise unknown_name(name, place)
        if value is not None:
            known[camel] = _value(value, fields[camel], f"{place}.{_snake(camel)}".removeprefix("."))
    return known


def _value(value: Any, kind: Kind, place: str) -> Any:
    match kind:
        case [inner]:
            # one value stands for a list of one
            values = value if isinstance(value, list) else [value]
            return [_value(one, inner, f"{place}[{index}]") for index, one in enumerate(values)]
        case {"": inner}:
            if not isinstance(value, dict):
                raise invalid_value(place, "Map", value)
            return {
                name: _value(one, inner, f"{place}[{index}].value") for index, (name, one) in enumerate(value.items())
            }
        case str() if kind in MESSAGES:
            return read(value, kind, place)
        case str() if kind.startswith("enum:"):
            names = kind.removeprefix("enum:")
            spelt = value.lower() if names[0].islower() and isinstance(value, str) else value
            spelt = spelt.upper() if names in _INSENSITIVE and names[0].isupper() and isinstance(spelt, str) else spelt
            if spelt not in names.split("|"):
                raise invalid_value(place, "TYPE_ENUM", value)
            return spelt
        case _:
            return _scalar(value, str(kind), place)


def _scalar(given: Any, kind: str, place: str) -> Any:
    value: Any = int(given) if kind == "int32" and isinstance(given, float) and given.is_integer() else given
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind not in ("bool", "value")):
        raise invalid_value(place, "Struct" if kind == "struct" else f"TYPE_{kind.upper()}", value)
    if kind == "bytes":
        encoded = str(value)
        try:
            base64.b64decode(encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4), validate=True)
        except binascii.Error:
            raise Refusal(
                f"Invalid value at '{place}' (TYPE_BYTES), Base64 decoding failed for \"{encoded[:60]}\""
            ) from None
    return value


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)
