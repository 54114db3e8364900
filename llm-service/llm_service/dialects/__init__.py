"""Wire JSON ⇄ canonical request and events, one dialect a package."""

from llm_service.dialects.base import Dialect
from llm_service.dialects.mistral import MistralDialect
from llm_service.dialects.openai import OpenAIDialect

MISTRAL = MistralDialect()
OPENAI = OpenAIDialect()

__all__ = ["MISTRAL", "OPENAI", "Dialect"]
