"""What can be wrong with a conversation."""

from shared.errors import NotFound


class ConversationNotFound(NotFound):
    code, title = "conversation_not_found", "There is no such conversation"
