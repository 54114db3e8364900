"""`/.well-known/oauth-authorization-server` (RFC 8414): what it says is what there is."""

from urllib.parse import urlsplit

import httpx2

from auth_service.organizations.roles import ROLES
from tests.auth_service.conftest import StartAuth
from tests.auth_service.logins import claims_of, log_in, refresh

METADATA = "/.well-known/oauth-authorization-server"


async def test_it_names_the_issuer_of_the_tokens(start_auth: StartAuth) -> None:
    async with start_auth(public_url="https://ai.example") as auth:
        answer = await auth.get(METADATA)
        assert answer.json()["issuer"] == "https://ai.example" == claims_of(await log_in(auth))["iss"]
        assert answer.json()["token_endpoint"] == "https://ai.example/api/auth/token"
        assert "max-age" in answer.headers["cache-control"]


async def test_what_it_names_answers(auth: httpx2.AsyncClient) -> None:
    told = (await auth.get(METADATA)).json()
    assert (await auth.get(urlsplit(told["jwks_uri"]).path)).status_code == 200
    assert (await auth.post(urlsplit(told["revocation_endpoint"]).path, data={"token": "x"})).status_code == 200
    tokens = await log_in(auth)
    assert (await refresh(auth, tokens["refresh_token"])).status_code == 200
    assert set(told["grant_types_supported"]) == {"password", "refresh_token"}
    for grant in ("authorization_code", "client_credentials", "implicit"):
        answer = await auth.post(urlsplit(told["token_endpoint"]).path, data={"grant_type": grant})
        assert answer.json()["error"] == "unsupported_grant_type"


async def test_it_names_every_scope_that_a_role_gives(auth: httpx2.AsyncClient) -> None:
    told = (await auth.get(METADATA)).json()
    assert set(told["scopes_supported"]) == {scope for scopes in ROLES.values() for scope in scopes}
    assert told["response_types_supported"] == []
    assert "authorization_endpoint" not in told
