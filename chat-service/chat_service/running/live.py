"""A generation while it runs: what has been said, and the frames that any number of readers follow."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, assert_never

import msgspec

from chat_service.generations.repository import Said
from chat_service.messages.schemas import MessageView
from shared.errors import DomainError
from shared.events import (
    Delta,
    Done,
    Failed,
    Reasoning,
    Start,
    StreamEvent,
    ToolCall,
    ToolResult,
    UsageReport,
    encode_event,
)

LONGEST_WAIT = 10.0
"""Seconds until a stream's headers are sent although nothing has been said yet."""
NUL, REPLACEMENT = "\0", "\N{REPLACEMENT CHARACTER}"


class LiveGeneration:
    """Readers go through the one list of frames at their own pace, so a slow one costs neither time nor memory."""

    def __init__(self, generation_id: str, *, message_id: str, conversation_id: str, model: str | None) -> None:
        self.id = generation_id
        self.message_id = message_id
        self.conversation_id = conversation_id
        self.model = model
        self.provider: str | None = None
        self.usage: dict[str, Any] | None = None
        self.done: Done | None = None
        self.revision = 0
        self._pieces: list[str] = []
        self._parts: list[dict[str, Any]] = []
        self._frames: list[bytes] = []
        self._news = asyncio.Event()
        self._problem: DomainError | None = None
        self._message: MessageView | None = None

    # What the model says comes in here.

    def take(self, event: StreamEvent) -> None:
        """Keeps what is to be saved, and shows the event to the readers; the model's own `done` waits for the save."""
        self.revision += 1
        match event:
            case Start():
                self.model, self.provider = event.model, event.provider
                event = Start(
                    id=self.message_id,
                    conversation_id=self.conversation_id,
                    model=event.model,
                    provider=event.provider,
                )
            case Delta():
                event.content = event.content.replace(NUL, REPLACEMENT)
                self._pieces.append(event.content)
            case Reasoning():
                event.reasoning = event.reasoning.replace(NUL, REPLACEMENT)
                self._add_reasoning(event.reasoning)
            case ToolCall():
                event.arguments = event.arguments.replace(NUL, REPLACEMENT)
                self._parts.append({"type": "tool_call"} | _fields(event, "id", "name", "arguments"))
            case ToolResult():
                self._parts.append({"type": "tool_result"} | _fields(event, "tool_call_id", "result"))
            case UsageReport():
                self.usage = event.usage
            case Done():
                self.done = event
                self.usage = event.usage or self.usage
                return
            case Failed():
                raise AssertionError("a failure is raised where it is read")
            case _:
                assert_never(event)
        self._show(event)
