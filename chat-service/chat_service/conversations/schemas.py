"""Conversations as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

CONVERSATION_ID = r"^conv_[A-Za-z0-9_-]{1,64}$"

ConversationId = Annotated[str, StringConstraints(pattern=CONVERSATION_ID)]


def storable(value: str) -> str:
    """PostgreSQL keeps neither NUL nor half of a surrogate pair."""
    if "\0" in value:
        raise ValueError("must not contain the character U+0000")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must not contain half of a surrogate pair")
    return value


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
Tag = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(storable)]
Prompt = Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(storable)]


class ContextSettings(BaseModel):
    """What is done with a conversation that is larger than the model's window (docs/llm.md)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    strategy: Literal["error", "truncate_oldest", "truncate_middle", "summarize"]
    max_input_tokens: int | None = Field(None, ge=1)


class ConversationSettings(BaseModel):
    """What every request of the conversation asks the model's service for, beside the messages."""

    model_config = ConfigDict(extra="forbid", strict=True)

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    fallbacks: list[Line] | None = Field(None, max_length=8)
    context: ContextSettings | None = None


class ConversationFields(BaseModel):
    """What a user sets; null takes away."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Line | None = None
    model: Line | None = None
    system_prompt: Prompt | None = None
    settings: ConversationSettings = ConversationSettings()
    folder: Line | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    pinned: bool = False
    archived: bool = False

    def columns(self) -> dict[str, Any]:
        """Those that were given."""
        return self.model_dump(exclude_unset=True, exclude={"id", "leaf_id", "settings"}) | (
            {"settings": self.settings.model_dump(exclude_none=True)} if "settings" in self.model_fields_set else {}
        )


class ConversationCreate(ConversationFields):
    """Without `id` it gets one."""

    id: ConversationId | None = None


class ConversationUpdate(ConversationFields):
    """`leaf_id` switches to the branch of that message: what follows it is what was last said there."""

    leaf_id: Annotated[str, Field(max_length=64), AfterValidator(storable)] | None = None


class ConversationView(BaseModel):
    """`model` is the one that was last asked for; `updated_at` is when the last message was sent.

    `leaf_id` is the last message of the active branch.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str | None
    model: str | None
    system_prompt: str | None
    settings: dict[str, Any]
    folder: str | None
    tags: list[str]
    pinned: bool
    archived: bool
    leaf_id: str | None
    created_at: datetime
    updated_at: datetime
