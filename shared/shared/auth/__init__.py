"""Who calls, and what they may do: tokens are verified here, in every service, against auth-service's keys."""

from shared.auth.policy import Policy
from shared.auth.principal import CurrentPrincipal, Principal, principal_of, requires
from shared.auth.tokens import KeySource, TokenVerifier, bearer_token

__all__ = [
    "CurrentPrincipal",
    "KeySource",
    "Policy",
    "Principal",
    "TokenVerifier",
    "bearer_token",
    "principal_of",
    "requires",
]
