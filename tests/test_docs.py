"""What the documents point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
_LINK = re.compile(r"\[(?P<label>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def links(document: Path) -> list[tuple[str, str]]:
    return [(found["label"], found["target"]) for found in _LINK.finditer(document.read_text())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = [target.partition("#")[0] for _, target in links(document) if "://" not in target]
    assert [target for target in targets if target and not (document.parent / target).exists()] == []


def test_every_promise_names_a_test_that_exists() -> None:
    document = ROOT / "docs/security.md"
    named = [(label.strip("`"), target) for label, target in links(document) if label.startswith("`test_")]
    tests = [(name, target) for name, target in named if not name.endswith(".py")]
    assert len(tests) > 50
    assert [name for name, target in tests if f"def {name}(" not in (document.parent / target).read_text()] == []
