"""What can be wrong with a conversation."""

from shared.errors import Conflict, NotFound


class ConversationNotFound(NotFound):
    code, title = "conversation_not_found", "There is no such conversation"


class ConversationExists(Conflict):
    code, title = "conversation_exists", "There is a conversation of this id"
