"""What every service needs in production, whether it has a database or not."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import api_gateway.settings
from shared.settings import ServiceSettings

REAL = "8Yb2xG7wq0Vt5Lr1uJ4nC9sKd3Fz6Hp-aE_mQo"
WITHOUT_DATABASE = [api_gateway.settings.Settings]


@pytest.mark.parametrize("kind", WITHOUT_DATABASE)
@pytest.mark.parametrize("secret", [None, "tiny-word", "changeme-changeme-changeme-changeme", "a" * 64])
def test_a_service_without_a_database_still_needs_the_secret_of_its_service_key(
    kind: type[ServiceSettings], secret: str | None, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="SYNAPSCALE_SECRET_KEY") as refused:
        kind.model_validate({"env": "production", "secret_key": secret, "data_dir": tmp_path})
    assert "DATABASE_URL" not in str(refused.value)
    assert secret is None or secret not in str(refused.value)


@pytest.mark.parametrize("kind", WITHOUT_DATABASE)
def test_the_secret_is_all_that_it_needs(kind: type[ServiceSettings]) -> None:
    assert kind.model_validate({"env": "production", "secret_key": REAL}).root_secret() == REAL


def test_development_makes_a_secret_that_all_processes_of_a_data_directory_share(tmp_path: Path) -> None:
    first = ServiceSettings(data_dir=tmp_path, secret_key=None).root_secret()
    assert ServiceSettings(data_dir=tmp_path, secret_key=None).root_secret() == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
