"""Why nothing was exchanged; RFC 8693 §2.2.2 has one word for all of it, `invalid_request`."""

from auth_service.tokens.errors import TokenRefused


class SubjectTokenRefused(TokenRefused):
    """It is unknown, not the caller's to use, or does not hold any more; which of these is not told."""

    code, title = "subject_token_refused", "The subject token does not hold"


class UnsupportedSubjectTokenType(TokenRefused):
    code, title = "unsupported_subject_token_type", "Subject tokens of this type are not exchanged"
