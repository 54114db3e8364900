"""Conversations as JSON."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

CONVERSATION_ID = r"^conv_[A-Za-z0-9_-]{1,64}$"

ConversationId = Annotated[str, StringConstraints(pattern=CONVERSATION_ID)]


class ConversationView(BaseModel):
    """`model` is the one that was last asked for; `updated_at` is when the last message was sent."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str | None
    model: str | None
    created_at: datetime
    updated_at: datetime
