"""Checking a request's JSON as Pydantic does behind Anthropic's API and Mistral's: where, what kind, which words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: https://docs.pydantic.dev/latest/errors/validation_errors/."""

    type: str
    place: Place
    message: str
    input: Any = None


@dataclass(frozen=True, slots=True)
class Field:
    """What a field may hold; null is the same as absent unless it is required."""

    noun: str
    types: tuple[type, ...]
    required: bool = False
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None


def string(*choices: str, required: bool = False, pattern: str | None = None) -> Field:
    return Field("string", (str,), required, choices=choices, pattern=pattern)


def integer(least: float | None = None, most: float | None = None, *, required: bool = False) -> Field:
    return Field("integer", (int,), required, least, most)


def number(least: float | None = None, most: float | None = None) -> Field:
    return Field("number", (int, float), False, least, most)


BOOLEAN = Field("boolean", (bool,))
OBJECT = Field("dictionary", (dict,))
LIST = Field("list", (list,))
ANY = Field("anything", (object,))
REQUIRED_OBJECT = Field("dictionary", (dict,), required=True)
REQUIRED_LIST = Field("list", (list,), required=True)
REQUIRED_ANY = Field("anything", (object,), required=True)


def problems(given: Mapping[str, Any], fields: Mapping[str, Field], place: Place = ()) -> Iterator[Problem]:
    """First what is there and wrong, in the order of `fields`, then what nobody knows."""
    for name, field in fields.items():
        here = (*place, name)
        if name not in given or (given[name] is None and not field.required):
            if field.required:
                yield Problem("missing", here, "Field required", dict(given))
            continue
        if problem := _problem(given[name], field, here):
            yield problem
    for name in given:
        if name not in fields:
            yield Problem("extra_forbidden", (*place, name), "Extra inputs are not permitted", given[name])


def _problem(given: Any, field: Field, place: Place) -> Problem | None:
    value: Any = given
    if not isinstance(given, field.types) or (isinstance(value, bool) and not {bool, object} & {*field.types}):
        kinds = {"boolean": "bool", "integer": "int", "number": "float", "dictionary": "dict"}
        kind = f"{kinds.get(field.noun, field.noun)}_type"
        return Problem(kind, place, f"Input should be a valid {field.noun}", value)
    if field.choices and value not in field.choices:
        named = ", ".join(f"'{one}'" for one in field.choices[:-1])
        expected = f"{named} or '{field.choices[-1]}'" if named else f"'{field.choices[-1]}'"
        return Problem("literal_error", place, f"Input should be {expected}", value)
    if field.least is not None and value < field.least:
        message = f"Input should be greater than or equal to {field.least}"
        return Problem("greater_than_equal", place, message, value)
    if field.most is not None and value > field.most:
        return Problem("less_than_equal", place, f"Input should be less than or equal to {field.most}", value)
    if field.pattern and not re.fullmatch(field.pattern, value):
        message = f"String should match pattern '^{field.pattern}$'"
        return Problem("string_pattern_mismatch", place, message, value)
    return None
