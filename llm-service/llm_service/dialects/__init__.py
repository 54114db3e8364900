"""Wire JSON ⇄ canonical request and events, one dialect a package."""

from llm_service.dialects.base import Dialect
from llm_service.dialects.openai import OpenAIDialect

OPENAI = OpenAIDialect()

__all__ = ["OPENAI", "Dialect"]
