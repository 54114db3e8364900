"""Gemini's older schemas (a subset of OpenAPI 3.0: `responseSchema`, `parameters`) as JSON schemas."""

from typing import Any

Json = dict[str, Any]


def json_schema(schema: Json) -> Json:
    """Types are written small, `nullable` becomes a type, `propertyOrdering` the order of the properties."""
    found: Json = {}
    for name, value in schema.items():
        match name, value:
            case "type", str():
                found["type"] = value.lower()
            case "properties", dict():
                found["properties"] = {key: _inner(inner) for key, inner in _ordered(value, schema)}
            case (("items" | "additionalProperties" | "additional_properties"), dict()):
                found[_camel(name)] = json_schema(value)
            case (("anyOf" | "any_of" | "prefixItems"), list()):
                found[_camel(name)] = [_inner(inner) for inner in value]
            case (("nullable" | "propertyOrdering" | "property_ordering"), _):
                pass
            case "example", _:
                found["examples"] = [value]
            case (("minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties"), str()):
                found[name] = int(value) if value.isdigit() else value  # int64 is a string in proto's JSON
            case _:
                found[name] = value
    return _nullable(found) if schema.get("nullable") else found


def _inner(schema: Any) -> Any:
    return json_schema(schema) if isinstance(schema, dict) else schema


def _ordered(properties: Json, schema: Json) -> list[tuple[str, Any]]:
    order = schema.get("propertyOrdering") or schema.get("property_ordering")
    if not isinstance(order, list):
        return list(properties.items())
    return sorted(properties.items(), key=lambda one: order.index(one[0]) if one[0] in order else len(order))


def _camel(name: str) -> str:
    return {"any_of": "anyOf", "additional_properties": "additionalProperties"}.get(name, name)


def _nullable(schema: Json) -> Json:
    if isinstance(schema.get("type"), str):
        enum = {"enum": [*schema["enum"], None]} if isinstance(schema.get("enum"), list) else {}
        return {**schema, "type": [schema["type"], "null"], **enum}
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema
