"""What cannot be done to service accounts."""

from shared.errors import NotFound


class ServiceAccountNotFound(NotFound):
    """The same for an unknown one and one of another organization."""

    code, title = "service_account_not_found", "There is no such service account"

    def __init__(self) -> None:
        super().__init__("The organization has no service account of this id.")
