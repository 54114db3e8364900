"""Why an API key is not found, made or changed."""

from shared.errors import Conflict, Forbidden, NotFound


class ApiKeyNotFound(NotFound):
    """The same for a key that never was, and for somebody else's."""

    code, title = "api_key_not_found", "There is no such API key"


class OwnerNotFound(NotFound):
    """The same for nobody, for a disabled user, and for a user of another organization."""

    code, title = "user_not_found", "There is no such user"


class ScopesNotAllowed(Forbidden):
    """A key may do nothing that its owner, or whoever makes it, may not."""

    code, title = "scopes_not_allowed", "The key may not have these scopes"


class LimitedKey(Forbidden):
    """What is held to limits could otherwise make itself a key that has none."""

    code, title = "limited_key", "An API key with limits may not make or change keys"


class ApiKeyEnded(Conflict):
    """It was revoked, has expired, or has a successor already."""

    code, title = "api_key_ended", "The API key has ended"
