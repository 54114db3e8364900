"""A generation while it runs, as its readers see it."""

import asyncio
from collections.abc import AsyncGenerator

from chat_service.messages.schemas import MessageView
from chat_service.running.answer import Answer, Spoken
from shared.errors import DomainError
from shared.events import Done, Failed, Start, StreamEvent, encode_event


class LiveGeneration:
    """Every reader walks the one list of frames at its own pace, so a slow one costs neither time nor memory."""

    def __init__(self, generation_id: str, *, message_id: str, conversation_id: str, model: str | None) -> None:
        self.id = generation_id
        self.message_id = message_id
        self.conversation_id = conversation_id
        self.answer = Answer(model=model)
        self._frames: list[bytes] = []
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._problem: DomainError | None = None
        self._message: MessageView | None = None

    def take(self, event: Spoken) -> None:
        """Keeps what was said and shows it. Raises AnswerTooLong."""
        self.answer.take(event)
        if isinstance(event, Start):
            event.id, event.conversation_id = self.message_id, self.conversation_id
        self._show(event)

    def complete(self, message: MessageView) -> None:
        """To be called when the message is saved as it is shown here."""
        self._message = message
        self._show_last(
            Done(
                message_id=message.id,
                conversation_id=message.conversation_id,
                model=message.model or "",
                provider=message.provider or "",
                finish_reason=message.finish_reason or "stop",
                usage=message.usage or {},
                cost_usd=message.cost_usd,
            )
        )

    def fail(self, problem: DomainError) -> None:
        """To be called when what was said until now is saved, or cannot be."""
        ids = {"conversation_id": self.conversation_id, "message_id": self.message_id, "generation_id": self.id}
        problem.extra.update(ids)
        self._problem = problem
        self._show_last(self._failed(problem))

    def error_frame(self, problem: DomainError) -> bytes:
        """The terminal frame of a reader who has been told nothing else yet."""
        return encode_event(self._failed(problem), sequence=1)

    async def message(self) -> MessageView:
        """The whole answer, when it is saved. Raises what ended it early."""
        await self._ended.wait()
        if self._problem is not None:
            raise self._problem
        assert self._message is not None
        return self._message

    async def frames(self) -> AsyncGenerator[bytes]:
        """Every frame from the first to the terminal one, as they come. Raises what came instead of an answer."""
        sent = 0
        while True:
            news = self._news
            if self._problem is not None and len(self._frames) == 1:
                raise self._problem
            while sent < len(self._frames):
                yield self._frames[sent]
                sent += 1
            if self._ended.is_set():
                return
            await news.wait()

    def _show(self, event: StreamEvent) -> None:
        event.generation_id = self.id
        self._frames.append(encode_event(event, sequence=len(self._frames) + 1))
        self._news.set()
        self._news = asyncio.Event()

    def _show_last(self, event: Done | Failed) -> None:
        self._ended.set()
        self._show(event)

    def _failed(self, problem: DomainError) -> Failed:
        return Failed(
            code=problem.code,
            detail=problem.detail,
            status=problem.status,
            message_id=self.message_id,
            generation_id=self.id,
        )
