"""`config/llm.yaml`: what it may say, and how mistakes in it are told."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from llm_service.config import ConfigError
from llm_service.config_file import load_config
from llm_service.reload import LiveCatalogue

SHIPPED = Path(__file__).parents[2] / "config" / "llm.yaml"


def written(directory: Path, text: str) -> Path:
    path = directory / "llm.yaml"
    path.write_text(text)
    return path


def live(path: Path, variables: Mapping[str, str] = {}, *, development: bool = True) -> LiveCatalogue:
    return LiveCatalogue(path, variables=variables, development=development)


async def test_the_shipped_file_needs_no_editing_without_any_key() -> None:
    config = load_config(SHIPPED, variables={})
    assert config.active == {}
    assert list(live(SHIPPED).current.providers) == ["echo"]
    assert live(SHIPPED, development=False).current.providers == {}
    assert "gpt-4" in config.names


async def test_a_key_in_the_environment_switches_its_provider_on() -> None:
    variables = {"OPENAI_API_KEY": "sk-1", "OLLAMA_BASE_URL": "http://localhost:11434"}
    config = load_config(SHIPPED, variables=variables)
    assert config.providers["openai"].api_key == "sk-1"
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"
    assert config.providers["ollama"].base_url == "http://localhost:11434/v1"
    started = live(SHIPPED, variables)
    async with started.running():
        assert list(started.current.providers) == ["openai", "ollama"]


def test_a_key_of_several_whose_variable_is_not_set_is_left_out(tmp_path: Path) -> None:
    text = "providers: {x: {type: openai, base_url: 'http://x', api_keys: ['${A}', {key: '${B}', weight: 3}, '${C}']}}"
    config = load_config(written(tmp_path, text), variables={"B": "b", "C": "c"})
    assert [(key.key, key.weight) for key in config.active["x"].keys] == [("b", 3), ("c", 1)]
    assert load_config(written(tmp_path, text), variables={}).active == {}


def test_a_variable_overrides_a_default() -> None:
    variables = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    assert load_config(SHIPPED, variables=variables).providers["openai"].base_url == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("line", "told", "lines"),
    [
        (4, "providers.x.models.1", ["providers:", "  x:", "    type: echo", "    models: [a, 3]"]),
        (
            5,
            "routes.r.chain.1.weight",
            ["providers: {}", "routes:", "  r:", "   chain: [a,", "    {model: b, weight: 0}]"],
        ),
        (3, "routes.r.0.when", ["providers: {}", "routes:", "  r: [{model: b, when: [wings]}]"]),
        (3, "models.m.prices.input", ["providers: {}", "models:", "  m: {prices: {output: 1}}"]),
        (3, "models.m.prices.input", ["providers: {}", "models:", "  m: {prices: {input: -1}}"]),
        (3, "deployments.d.provider", ["providers: {}", "deployments:", "  d: {provider: nobody, model: m}"]),
        (4, "routes.r.chain.0", ["providers: {}", "routes:", "  s: [a]", "  r: [s]"]),
        (3, "providers.x", ["providers:", "  x: {type: echo}", "  x: {type: echo}"]),
        (2, "defaults.mode", ["providers: {}", "defaults: {mode: random}"]),
    ],
)
def test_a_mistake_is_told_with_its_line(line: int, told: str, lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(written(tmp_path, "\n".join(lines)), variables={})
    assert re.search(rf"llm\.yaml:{line}: {re.escape(told)}\S*: ", str(refused.value)), str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("providers: [", "not valid YAML"),
        ("[]", "`providers`"),
        ("providers: {x: {type: magic}}", "providers.x.type"),
        ("providers: {x: {type: openai, colour: red}}", "providers.x.colour"),
        ("providers: {}\ntimeouts: {gap: 0}", "timeouts.gap"),
        ("providers: {}\nroutes: {a: 3}", "routes.a"),
    ],
)
def test_a_mistake_is_named_with_its_key(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        load_config(written(tmp_path, text), variables={})


def test_a_provider_that_lacks_its_address_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"providers\.x\.base_url"):
        live(written(tmp_path, "providers: {x: {type: openai_compatible}}"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(tmp_path / "nowhere.yaml", variables={})


def test_a_key_is_not_shown() -> None:
    assert "sk-1" not in repr(load_config(SHIPPED, variables={"OPENAI_API_KEY": "sk-1"}))
