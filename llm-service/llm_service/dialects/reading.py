"""Requests' JSON, read with its types: what is wrong is refused by its place."""

from collections.abc import Callable
from typing import Any, TypeVar

from shared.errors import Unprocessable

T = TypeVar("T")

JSON_NAMES = {
    str: "a string",
    dict: "an object",
    list: "a list",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
}


def typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """`value`, if it is of that JSON type (true is no number). Raises Unprocessable."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        raise refusal(where, f"must be {' or '.join(JSON_NAMES[one] for one in kinds)}")
    return value


def optional(values: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """The value of that name, or None. Raises Unprocessable."""
    value = values.get(name)
    return None if value is None else typed(value, kind, f"{where}/{name}")


def numbered(values: Any, where: str, parse: Callable[[Any, str], T]) -> list[T]:
    """Each of a list, parsed with its own place. Raises Unprocessable."""
    return [parse(value, f"{where}/{n}") for n, value in enumerate(typed(values, list, where))]


def refusal(where: str, what: str) -> Unprocessable:
    """`where` is a JSON pointer (RFC 6901) into the body."""
    errors = [{"pointer": where, "in": "body", "detail": what}]
    return Unprocessable(f"body {where} {what}.", param=where[1:].split("/")[0], errors=errors)
