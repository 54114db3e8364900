"""What it costs to know a caller: a token that was never seen, one that is remembered, and the parts of the latter.

.venv/bin/python benchmarks/verified_token.py
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm

from shared.auth import KeySource, TokenVerifier
from shared.auth.revocations import Revocation, Revocations
from shared.auth.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE

ISSUER = "http://localhost:8000"
PRIVATE_KEY = ec.generate_private_key(ec.SECP256R1())
ROUNDS = 7
REVOKED = 1000
"""Revocations that are known meanwhile, none of which ends the token."""


class OneKey(KeySource):
    def __init__(self) -> None:
        public = ECAlgorithm.to_jwk(PRIVATE_KEY.public_key(), as_dict=True)
        self._key = PyJWK({**public, "kid": "1", "alg": ALGORITHM, "use": "sig"})

    async def find(self, kid: str) -> PyJWK | None:  # noqa: ARG002 # there is one
        return self._key


def make_token(number: int) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "usr_" + "0" * 32,
        "client_id": "synapscale",
        "iat": now,
        "exp": now + 900,
        "jti": f"tok_{number:032x}",
        "scope": "llm:read llm:invoke chat:read chat:write",
        "sid": "ses_" + "0" * 32,
        "org": "org_" + "0" * 32,
    }
    return jwt.encode(claims, PRIVATE_KEY, algorithm=ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": "1"})


async def best(work: Callable[[int], Awaitable[object]], *, times: int) -> float:
    """Microseconds for one, in the best of some rounds."""
    rounds = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        for index in range(number * times, (number + 1) * times):
            await work(index)
        rounds.append((time.perf_counter() - started) / times * 1e6)
    return min(rounds)


async def main() -> None:
    now = time.time()
    revocations = Revocations()
    verifier = TokenVerifier(OneKey(), issuer=ISSUER, revocations=revocations)
    fresh = [f"Bearer {make_token(number)}" for number in range(ROUNDS * 200)]
    remembered = f"Bearer {make_token(-1 % 2**64)}"
    principal = await verifier.principal_of(remembered)

    async def hash_only(_: int) -> None:
        sha256(principal.token.encode()).digest()

    cold = await best(lambda index: verifier.principal_of(fresh[index]), times=200)
    quiet = await best(lambda _: verifier.principal_of(remembered), times=50_000)
    revocations.learn([Revocation(number, f"ses_{number}", now) for number in range(REVOKED)])
    warm = await best(lambda _: verifier.principal_of(remembered), times=50_000)
    hashed = await best(hash_only, times=50_000)
    sys.stdout.write(
        f"token of {len(remembered) - 7} bytes, best of {ROUNDS} rounds\n"
        f"first sight                            {cold:8.2f} µs\n"
        f"remembered, nothing revoked            {quiet:8.2f} µs\n"
        f"remembered, {REVOKED} revocations known    {warm:8.2f} µs\n"
        f"of which SHA-256 of the token          {hashed:8.2f} µs\n"
    )


if __name__ == "__main__":
    asyncio.run(main())
