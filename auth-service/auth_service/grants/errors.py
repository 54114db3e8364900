"""What can go wrong with a grant."""

from shared.errors import NotFound


class GrantNotFound(NotFound):
    """It does not exist, or another service holds it."""

    code, title = "grant_not_found", "There is no such grant"
