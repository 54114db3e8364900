"""What can be wrong with a message."""

from shared.errors import Conflict, NotFound


class MessageNotFound(NotFound):
    code, title = "message_not_found", "There is no such message"


class GenerationRunning(Conflict):
    code, title = "generation_running", "The conversation is still being answered"

    def __init__(self) -> None:
        super().__init__("An answer in this conversation is still running; wait for its end.")


class NotEditable(Conflict):
    code, title = "message_not_editable", "Only a user's message can be edited"


class NothingToContinue(Conflict):
    code, title = "nothing_to_continue", "There is no cut answer to continue"
