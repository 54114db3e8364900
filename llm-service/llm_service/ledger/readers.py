"""Who sees whose rows, of single requests and of sums alike."""

from shared.auth import Principal

ADMIN = "admin"


def only_of(reader: Principal) -> str | None:
    """The user whose rows alone `reader` sees; None is everybody in the organization: admins see that."""
    return None if ADMIN in reader.scopes else reader.user_id
