"""One seam for everything that services exchange: what a type of subject token is worth is its exchanger's to say."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from auth_service.audit.service import Origin
from auth_service.exchange.errors import UnsupportedSubjectTokenType
from auth_service.exchange.schemas import ExchangedToken, ExchangeRequest
from auth_service.tokens.schemas import Token


class Exchanger(ABC):
    """Knows one type of subject token. Opens transactions of its own."""

    @abstractmethod
    async def exchange(self, asked: ExchangeRequest, *, service: str, origin: Origin) -> Token:
        """`service` is the authenticated caller. Raises SubjectTokenRefused, InvalidScope."""


class TokenExchange:
    """`exchangers` by the `subject_token_type` that they take: the table that is this service."""

    def __init__(self, exchangers: Mapping[str, Exchanger]) -> None:
        self._exchangers = exchangers

    async def exchange(self, asked: ExchangeRequest, *, service: str, origin: Origin) -> ExchangedToken:
        """Raises UnsupportedSubjectTokenType, and what the exchanger raises."""
        exchanger = self._exchangers.get(asked.subject_token_type)
        if exchanger is None:
            raise UnsupportedSubjectTokenType(f"What can be exchanged: {', '.join(self._exchangers) or 'nothing'}.")
        return ExchangedToken.of(await exchanger.exchange(asked, service=service, origin=origin))
