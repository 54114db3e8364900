"""The README's own code blocks: what a newcomer pastes is what these tests run."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"<!-- run: (?P<name>\w+) -->\n```\w+\n(?P<code>.*?)```", re.DOTALL)


def blocks(file: str = "README.md") -> dict[str, str]:
    """Every block that is marked `<!-- run: name -->`, by name, in order."""
    return {found["name"]: found["code"] for found in _BLOCK.finditer((ROOT / file).read_text())}
