"""The tables that the migrations must lead to: a service is one line here."""

from sqlalchemy import MetaData

import auth_service.api_keys.models
import auth_service.audit.models
import auth_service.grants.models
import auth_service.idempotency
import auth_service.keys.models
import auth_service.logins.models
import auth_service.organizations.models
import auth_service.revocations.models
import auth_service.sessions.models
import auth_service.tables
import auth_service.users.models
import chat_service.conversations.models
import chat_service.generations.models
import chat_service.idempotency
import chat_service.messages.models
import chat_service.tables
import llm_service.ledger.models
import llm_service.limits.models
import llm_service.tables

METADATA: list[MetaData] = [
    auth_service.tables.Base.metadata,
    chat_service.tables.Base.metadata,
    llm_service.tables.Base.metadata,
]
SCHEMAS = frozenset(str(metadata.schema) for metadata in METADATA)
