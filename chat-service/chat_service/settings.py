"""What chat-service reads from the environment."""

from pydantic import Field

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    chat_lease_seconds: float = Field(
        10, ge=0.5, le=600, description="an answer whose replica is silent for so long is marked as interrupted"
    )
