"""What can be wrong with asking for a request."""

from shared.errors import NotFound


class RequestNotFound(NotFound):
    """Also where it belongs to someone else, or is not in the database yet."""

    code, title = "request_not_found", "The ledger has no such request"
