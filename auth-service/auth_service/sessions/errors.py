"""What a caller may not do with sessions."""

from shared.errors import Forbidden, NotFound


class SessionNotFound(NotFound):
    """The same for an unknown session, one that has ended and somebody else's."""

    code, title = "session_not_found", "There is no such session"

    def __init__(self) -> None:
        super().__init__("You have no session of this id.")


class NotALogin(Forbidden):
    """Whoever finds an API key, or acts for a user, ends none of the user's sessions and changes no password."""

    code, title = "not_a_login", "This needs a login"

    def __init__(self) -> None:
        super().__init__("This is done with the token of a login, not with an API key.")
