"""Too many wrong passwords."""

from shared.errors import TooManyRequests


class LoginThrottled(TooManyRequests):
    """The same for accounts that exist and those that do not; with the members that OAuth2's clients look for."""

    code, title = "login_throttled", "Too many failed logins"

    def __init__(self, *, retry_after: float) -> None:
        detail = "Too many logins with a wrong password. Try again later."
        super().__init__(detail, retry_after=retry_after, error="temporarily_unavailable", error_description=detail)
