"""Messages as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chat_service.conversations.schemas import ConversationId, Line, storable
from chat_service.generations.repository import Said
from chat_service.messages.models import Message

LONGEST_CONTENT = 200_000
"""Characters of one message."""


Content = Annotated[str, Field(min_length=1, max_length=LONGEST_CONTENT), AfterValidator(storable)]


class MessageCreate(BaseModel):
    """An absent `conversation_id` begins a conversation, an unknown one creates it.

    An absent `parent_id` continues the active branch; a given one makes a branch that begins after that message.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"content": "Qual é a capital do Brasil?", "model": "gpt-4", "stream": False}},
    )

    conversation_id: ConversationId | None = None
    content: Content
    model: Line | None = None
    stream: bool = False
    parent_id: Annotated[str, Field(max_length=64), AfterValidator(storable)] | None = None


class AnswerWanted(BaseModel):
    """For one more answer; without `model` the conversation's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Line | None = None
    stream: bool = False


class MessageEdit(AnswerWanted):
    """What the message should have said."""

    content: Content


class Feedback(BaseModel):
    """What the user thinks of an answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rating: Literal["good", "bad"]
    comment: Annotated[str, Field(max_length=2_000), AfterValidator(storable)] | None = None


class MessageError(BaseModel):
    """Why the answer ended early, in the words of the problem that the sender was shown."""

    code: str
    detail: str
    status: int


class MessageView(BaseModel):
    """`content` is the text; `parts` holds what is not text, in the order in which it came."""

    id: str
    conversation_id: str
    parent_id: str | None
    generation_id: str | None
    role: str
    content: str
    parts: list[dict[str, Any]]
    status: str
    model: str | None
    provider: str | None
    usage: dict[str, Any] | None
    cost_usd: str | None
    finish_reason: str | None
    error: MessageError | None
    feedback: Feedback | None
    created_at: datetime


def view_of(message: Message, *, conversation_id: str, said: Said | None = None) -> MessageView:
    """`said` is what a running answer has said so far."""
    columns = {name: getattr(message, name) for name in MessageView.model_fields if hasattr(message, name)}
    cost = None if message.cost_usd is None else format(message.cost_usd, "f")
    so_far = {} if said is None else {name: each for name, each in said.items() if name in MessageView.model_fields}
    return MessageView(**(columns | so_far | {"conversation_id": conversation_id, "cost_usd": cost}))
