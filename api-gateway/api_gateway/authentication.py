"""The gateway's one seam for credentials: what comes in is a token of ours, an API key, or a token of another issuer;
what goes on is a token of ours."""

from api_gateway.credentials import AUTHORIZATION, credential_of, unverified_issuer
from api_gateway.exchanged import ExchangedTokens
from api_gateway.requests import Headers
from shared.auth import Principal, TokenVerifier
from shared.auth.api_keys import PREFIX, is_api_key
from shared.auth.exchange import API_KEY, FOREIGN_TOKEN
from shared.auth.tokens import LONGEST_TOKEN
from shared.errors import Unauthorized


class Authentication:
    """Each service verifies the token again: nothing behind the gateway is believed because of where it came from.

    A token that an API key was exchanged for passes the same verifier as any other at every request, so a revocation
    ends it as soon as it is heard of.
    """

    def __init__(self, verifier: TokenVerifier, *, exchanged: ExchangedTokens, issuer: str) -> None:
        self._verifier = verifier
        self._exchanged = exchanged
        self._issuer = issuer

    def remembered(self, shown: Headers) -> Principal | None:
        """Who shows nothing but a token of ours that was verified a short while ago, as nearly every request does.

        Raises Unauthorized where it was revoked since.
        """
        if len(shown) == 1 and shown[0][0] == AUTHORIZATION:
            return self._verifier.remembered(shown[0][1])
        return None

    async def principal_of(self, shown: Headers, *, api_key_header: bool = False) -> Principal:
        """`shown` are the headers in which credentials are.

        Raises Unauthorized, MalformedRequest for two credentials, or Unavailable where nobody can tell.
        """
        credential = credential_of(shown, api_key_header=api_key_header)
        if credential.startswith(PREFIX):
            if not is_api_key(credential):
                raise Unauthorized("The API key is mistyped: its checksum is wrong.", error="invalid_token")
            return await self._exchange(credential, kind=API_KEY)
        if len(credential) <= LONGEST_TOKEN and unverified_issuer(credential) not in (None, self._issuer):
            return await self._exchange(credential, kind=FOREIGN_TOKEN)
        return await self._verifier.verify(credential)

    async def _exchange(self, credential: str, *, kind: str) -> Principal:
        token = await self._exchanged.token_for(credential, kind=kind)
        try:
            return await self._verifier.verify(token)
        except Unauthorized:  # it was revoked, or its key retired: auth-service knows whether the credential holds
            self._exchanged.forget(credential, kind=kind)
        return await self._verifier.verify(await self._exchanged.token_for(credential, kind=kind))
