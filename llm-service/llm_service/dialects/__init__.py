"""Wire JSON ⇄ canonical request and events, one dialect a package, found in one table."""

from llm_service.dialects.base import Dialect
from llm_service.dialects.openai import OpenAIDialect

OPENAI = OpenAIDialect()

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI,)}

__all__ = ["DIALECTS", "OPENAI", "Dialect"]
