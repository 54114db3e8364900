"""Why no token was given; each with the `error` and `error_description` of RFC 6749 §5.2 for OAuth2's clients."""

from typing import ClassVar

from shared.errors import DomainError


class TokenRefused(DomainError):
    """`oauth_error` is the word of RFC 6749."""

    status: ClassVar[int] = 400
    oauth_error: ClassVar[str] = "invalid_request"
    code, title = "invalid_request", "No token was given"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, error=self.oauth_error, error_description=detail)


class WrongCredentials(TokenRefused):
    """The same for an unknown user, a wrong password and a disabled user."""

    status, code, title = 401, "wrong_credentials", "The username or the password is wrong"
    oauth_error = "invalid_grant"

    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")

    @property
    def headers(self) -> dict[str, str]:
        return {"www-authenticate": 'Bearer realm="synapscale"'}


class InvalidGrant(TokenRefused):
    """The same for a refresh token that is unknown, used, expired or ended, and for a user who may not have one."""

    code, title, oauth_error = "invalid_grant", "The refresh token does not hold", "invalid_grant"

    def __init__(self) -> None:
        super().__init__("The refresh token does not hold (any more). Log in again.")


class UnsupportedTokenType(TokenRefused):
    """RFC 7009 §2.2.1."""

    code, title, oauth_error = "unsupported_token_type", "This token is not revoked here", "unsupported_token_type"


class UnsupportedGrantType(TokenRefused):
    code, title, oauth_error = "unsupported_grant_type", "This grant type is not offered", "unsupported_grant_type"


class InvalidScope(TokenRefused):
    code, title, oauth_error = "invalid_scope", "A scope cannot be given", "invalid_scope"


class UnsupportedMediaType(TokenRefused):
    status, code, title = 415, "unsupported_media_type", "The body is of an unsupported type"


class MalformedTokenRequest(TokenRefused):
    code, title = "malformed_request", "The request cannot be read"
