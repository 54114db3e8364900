"""Tool calls put one after another: Anthropic's stream has one block at a time, others may mix their calls' pieces."""

from collections.abc import Iterator

import msgspec

from llm_service.canonical.events import ToolCallDelta


class Calls:
    """Lets one call speak until its arguments are complete JSON; what others say meanwhile waits."""

    def __init__(self) -> None:
        self._speaking: int | None = None
        self._said: list[str] = []
        self._waiting: dict[int, list[ToolCallDelta]] = {}
        self.any = False

    def add(self, piece: ToolCallDelta) -> Iterator[ToolCallDelta]:
        """The pieces that may be told now."""
        self.any = True
        if self._speaking is None:
            self._speaking = piece.index
        if piece.index == self._speaking:
            self._said.append(piece.arguments)
            yield piece
            return
        self._waiting.setdefault(piece.index, []).append(piece)
        if _complete("".join(self._said)):
            yield from self._next()

    def rest(self) -> Iterator[ToolCallDelta]:
        """All that waits: something else is said now, so no call goes on."""
        while self._waiting:
            yield from self._next()
        self._speaking, self._said = None, []

    def _next(self) -> Iterator[ToolCallDelta]:
        self._speaking = next(iter(self._waiting))
        pieces = self._waiting.pop(self._speaking)
        self._said = [piece.arguments for piece in pieces]
        yield from pieces


def _complete(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
