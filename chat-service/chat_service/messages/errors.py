"""What can be wrong with a message."""

from shared.errors import Conflict, NotFound


class MessageNotFound(NotFound):
    code, title = "message_not_found", "There is no such message"


class GenerationRunning(Conflict):
    code, title = "generation_running", "The conversation is still being answered"

    def __init__(self) -> None:
        super().__init__("An answer in this conversation is still running; wait for its end.")
