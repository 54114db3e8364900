"""Where a running gateway is asked, as whom, and which processes it is."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.compare.processes import Group

QUESTION = "Qual é a capital do Brasil?"
MESSAGES = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": QUESTION}]


@dataclass(frozen=True)
class Endpoint:
    """Of chat completions. `groups` are its processes by what they are; `postgres` is told apart."""

    url: str
    groups: Mapping[str, Group]
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "gpt-4o"

    def body(self, *, stream: bool = False, padding: int = 0) -> bytes:
        """The same question for everyone, with so many bytes of text before it."""
        messages = [{"role": "user", "content": "x" * padding}, *MESSAGES] if padding else MESSAGES
        asked: dict[str, Any] = {"model": self.model, "messages": messages}
        return json.dumps({**asked, "stream": True} if stream else asked, separators=(",", ":")).encode()


class Gateway(Protocol):
    """Something that can be started in front of a provider."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def install(self, cache: Path) -> None:
        """On first use; nothing afterwards. Raises Missing where it cannot."""

    def running(self, provider: str, directory: Path) -> AbstractContextManager[Endpoint]:
        """`provider` is an OpenAI-compatible base URL; `directory` is empty, and goes afterwards."""
