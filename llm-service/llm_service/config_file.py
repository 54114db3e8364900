"""`config/llm.yaml`, read: variables filled in from the environment, mistakes told with their line and key."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from llm_service.config import Config, ConfigError

Loc = tuple[str | int, ...]
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}")
LARGEST_FILE = 4 * 1024 * 1024


def load_config(path: Path, *, variables: Mapping[str, str]) -> Config:
    """Raises ConfigError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse_config(text, name=str(path), variables=variables)


def parse_config(text: str, *, name: str, variables: Mapping[str, str]) -> Config:
    """`name` is what mistakes call the file. Raises ConfigError."""
    if len(text) > LARGEST_FILE:
        raise ConfigError(f"{name} has more than {LARGEST_FILE} characters")
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        document = yaml.load(text, Loader=yaml.CSafeLoader)  # it is a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{name} is not valid YAML: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("providers"), dict):
        raise ConfigError(f"{name} needs a mapping `providers` at its top")
    for loc in _repeated(root, ()):
        raise ConfigError(_told(name, root, loc, "this key stands here twice"))
    inactive = {name for name, row in document["providers"].items() if _lacks(row, variables)}
    document["providers"] = {name: _with_known_keys(row, variables) for name, row in document["providers"].items()}
    try:
        config = Config.model_validate({**_filled(document, variables), "inactive": inactive})
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
        told = (_told(name, root, _given(root, mistake["loc"]), mistake["msg"]) for mistake in mistakes)
        raise ConfigError("\n".join(dict.fromkeys(told))) from None
    if contradictions := [_told(name, root, loc, what) for loc, what in _contradictions(config)]:
        raise ConfigError("\n".join(contradictions))
    return config


def _contradictions(config: Config) -> Iterator[tuple[Loc, str]]:
    """What each part says well and the whole does not."""
    for name, deployment in config.deployments.items():
        if deployment.provider not in config.providers:
            yield ("deployments", name, "provider"), f"there is no provider {deployment.provider!r}"
    taken = {model for row in config.providers.values() for model in row.models}
    for name in config.deployments.keys() & taken:
        yield ("deployments", name), "a provider's model has this name"
    for name, route in config.routes.items():
        for number, step in enumerate(route.chain):
            for choice in step:
                if choice.model in config.routes and choice.model != name:
                    yield ("routes", name, "chain", number), f"{choice.model!r} is a route: chains name models"


def _told(name: str, root: yaml.Node | None, loc: Loc, what: str) -> str:
    return f"{name}:{_line_of(root, loc)}: {'.'.join(map(str, loc))}: {what}"


def _given(root: yaml.Node | None, loc: Loc) -> Loc:
    """`loc` without the steps that are the schema's (`chain` of a route written as a list) and not the file's."""
    found: list[str | int] = []
    node = root
    for number, step in enumerate(loc):
        inner = _step(node, step)
        if inner is not None:
            node = inner
            found.append(step)
        elif number == len(loc) - 1 and isinstance(step, str) and step not in ("chain", "model", "key"):
            found.append(step)  # a key that is missing, told where it should be
    return tuple(found)


def _line_of(root: yaml.Node | None, loc: Loc) -> int:
    """The line, counted from 1, of the deepest step of `loc` that is in the file."""
    node, line = root, 1
    for step in loc:
        key = _key(node, step)
        node = _step(node, step)
        if node is None:
            break
        line = (key or node).start_mark.line + 1
    return line


def _key(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((key for key, _ in reversed(node.value) if key.value == str(step)), None)
    return None


def _step(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in reversed(node.value) if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]  # type: ignore[no-any-return] # PyYAML has no types for it
    return None


def _repeated(node: yaml.Node | None, where: Loc) -> Iterator[Loc]:
    """Keys that stand twice in one mapping: YAML would keep the last, and say nothing."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield (*where, key.value)
            seen.add(key.value)
            yield from _repeated(value, (*where, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _repeated(value, (*where, number))


def _lacks(row: Any, variables: Mapping[str, str]) -> bool:
    """Whether a provider cannot be used because of what is not set: of several keys, one is enough."""
    if not isinstance(row, dict) or not isinstance(row.get("api_keys"), list):
        return _missing(row, variables)
    rest = {name: value for name, value in row.items() if name != "api_keys"}
    return _missing(rest, variables) or all(_missing(key, variables) for key in row["api_keys"])


def _with_known_keys(row: Any, variables: Mapping[str, str]) -> Any:
    if not isinstance(row, dict) or not isinstance(row.get("api_keys"), list):
        return row
    return {**row, "api_keys": [key for key in row["api_keys"] if not _missing(key, variables)]}


def _missing(value: Any, variables: Mapping[str, str]) -> bool:
    """Whether `value` names a variable that is not set and has no default."""
    match value:
        case str():
            found = _VARIABLE.finditer(value)
            return any(one["default"] is None and not variables.get(one["name"]) for one in found)
        case dict():
            return any(_missing(inner, variables) for inner in value.values())
        case list():
            return any(_missing(inner, variables) for inner in value)
        case _:
            return False


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda one: variables.get(one["name"]) or one["default"] or "", value)
        case dict():
            return {name: _filled(inner, variables) for name, inner in value.items()}
        case list():
            return [_filled(inner, variables) for inner in value]
        case _:
            return value
