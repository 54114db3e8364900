"""Identifiers that sort by time, and secrets that are made once."""

import multiprocessing
import re
import stat
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from shared.ids import new_id, uuid7_hex
from shared.secrets import kept_secret, stored_secret


def test_an_id_is_a_prefix_and_a_uuid_of_version_7() -> None:
    made = new_id("msg")
    assert re.fullmatch(r"msg_[0-9a-f]{32}", made)
    parsed = uuid.UUID(made.removeprefix("msg_"))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert abs((parsed.int >> 80) / 1000 - time.time()) < 5


def test_later_ids_sort_later_and_none_comes_twice() -> None:
    made = [uuid7_hex() for _ in range(50_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_processes_that_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        secrets = set(pool.map(stored_secret, [tmp_path / "data"] * 16, ["key"] * 16))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 48
    assert stat.S_IMODE((tmp_path / "data" / "key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["key"]  # no drafts are left


def test_a_secret_is_kept(tmp_path: Path) -> None:
    assert stored_secret(tmp_path, "key") == stored_secret(tmp_path, "key")
    assert stored_secret(tmp_path, "key") != stored_secret(tmp_path, "other")


def test_a_secret_that_nobody_made_is_not_made_by_asking(tmp_path: Path) -> None:
    assert kept_secret(tmp_path / "data", "key") is None
    assert list(tmp_path.iterdir()) == []
    assert kept_secret(tmp_path, "key") is None
    assert stored_secret(tmp_path, "key") == kept_secret(tmp_path, "key")


def test_a_secret_that_cannot_be_read_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(ValueError, match="cannot be read"):
        kept_secret(tmp_path, "key")
