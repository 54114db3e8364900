"""What schemathesis may not do, and which refusals of it are right although no JSON Schema can say so.

Loaded by schemathesis itself (`hooks` in schemathesis.toml), in a process of its own.
"""

import os
from typing import Any

import jwt
import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UseAfterFree

OF_OTHERS_ONLY = {
    "DELETE /api/auth/sessions/{session_id}": "of the session that all requests use",
    "DELETE /api/auth/users/{user_id}": "of the account that is logged in",
    "PATCH /api/auth/users/{user_id}": "disables the account that is logged in, or changes its password",
    "PATCH /api/auth/organizations/{organization_id}/members/{user_id}": "takes its rights away",
    "DELETE /api/auth/organizations/{organization_id}/members/{user_id}": "takes its rights away",
}
BEYOND_SCHEMAS = {
    "The cursor is not one that this API gave out.": "cursors are opaque",
    "must lie in the future": "depends on the clock",
    "must be one line of printable characters": "Unicode's categories are not in ECMA 262's plain patterns",
    "must have 2 to 64 letters, digits": "counted after NFKC and case folding",
    "must be an e-mail address": "RFC 5321's addresses that exist on the internet are fewer than RFC 5322's",
    "A field is given twice.": "forms written from lists repeat their names; RFC 6749 §3.2 forbids it",
    "allowed_models must be shorter": "a bound on all items together",
    "body /budget/usd:": "a bound on digits, of numbers and of strings",
    "Input should be a valid integer": "to JSON Schema 1.0 is an integer",
    "got `float`": "the same",
    "must not contain the character U+0000": "PostgreSQL does not keep it",
    "half of a surrogate pair": "the same",
    "body /messages/": "the fields of a block depend on its type, and dialects grow: that is the dialects' business",
    "body /system/": "the same",
    "body /tools/": "the same",
    "at most 92 days are told": "a bound on two members together",
    "cannot be null": "absent and null differ, which OpenAPI's generators cannot say of one member",
    "must not be null": "the same",
}
"""Words of a refusal, and why it is not in the schema."""
CODES_BEYOND_SCHEMAS = {
    "context_length_exceeded": "depends on the length of all texts together",
    "embeddings_not_offered": "depends on the model",
    "idempotency_key_reused": "depends on earlier requests",
    "password_too_short": "a policy, told in its own words",
    "password_too_long": "the same",
    "password_too_simple": "the same",
    "password_too_common": "the same",
    "password_holds_username": "the same",
}

_OWN = jwt.decode(os.environ["FUZZED_TOKEN"], options={"verify_signature": False})


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:  # schemathesis passes both
    """The run shall not saw off the branch that it sits on."""
    own = {_OWN["sub"], _OWN["sid"]}
    return case.operation.label not in OF_OTHERS_ONLY or own.isdisjoint((case.path_parameters or {}).values())


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Keeps all but valid data's being refused for a reason of the lists."""
    if isinstance(failure, EnsureResourceAvailability):  # a token is for one organization: a new one needs a new token
        return bool(failure.created_with != "POST /api/auth/organizations")
    if isinstance(failure, UseAfterFree):  # a key that is revoked stays to be read, with the time of its end
        return not case.operation.label.startswith("GET /api/auth/api-keys")
    return not (isinstance(failure, RejectedPositiveData) and _is_beyond_schemas(response))


def _is_beyond_schemas(response: Response) -> bool:
    if response.status_code not in (400, 422):
        return False
    body: dict[str, Any] = response.json()
    refusal = body.get("error", body)  # on /v1 in the dialect's own shape
    told = refusal.get("detail") or refusal.get("message", "")
    return refusal.get("code") in CODES_BEYOND_SCHEMAS or any(words in told for words in BEYOND_SCHEMAS)
