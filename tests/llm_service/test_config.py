"""`config/llm.yaml`: what it may say, and how mistakes in it are told."""

from pathlib import Path

import pytest

from llm_service.config import ConfigError, load_config
from llm_service.providers import build_providers

SHIPPED = Path(__file__).parents[2] / "config" / "llm.yaml"


def written(directory: Path, text: str) -> Path:
    path = directory / "llm.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_needs_no_editing_without_any_key() -> None:
    config = load_config(SHIPPED, variables={})
    assert config.active == {}
    assert list(build_providers(config, development=True)) == ["echo"]
    assert build_providers(config, development=False) == {}
    assert "gpt-4" in config.names


async def test_a_key_in_the_environment_switches_its_provider_on() -> None:
    config = load_config(SHIPPED, variables={"OPENAI_API_KEY": "sk-1", "OLLAMA_BASE_URL": "http://localhost:11434"})
    assert config.providers["openai"].api_key == "sk-1"
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"
    assert config.providers["ollama"].base_url == "http://localhost:11434/v1"
    providers = build_providers(config, development=True)
    assert list(providers) == ["openai", "ollama"]
    for provider in providers.values():
        await provider.close()


def test_a_variable_overrides_a_default() -> None:
    variables = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    assert load_config(SHIPPED, variables=variables).providers["openai"].base_url == "http://127.0.0.1:9/v1"


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
    config = load_config(written(tmp_path, "providers: {x: {type: openai_compatible}}"), variables={})
    with pytest.raises(ConfigError, match=r"providers\.x\.base_url"):
        build_providers(config, development=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(tmp_path / "nowhere.yaml", variables={})


def test_a_key_is_not_shown() -> None:
    assert "sk-1" not in repr(load_config(SHIPPED, variables={"OPENAI_API_KEY": "sk-1"}))
