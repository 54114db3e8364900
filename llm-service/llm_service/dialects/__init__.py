"""Wire JSON ⇄ canonical request and events, one dialect a package."""

from llm_service.dialects.base import Dialect
from llm_service.dialects.gemini import GeminiDialect
from llm_service.dialects.mistral import MistralDialect
from llm_service.dialects.openai import OpenAIDialect

GEMINI = GeminiDialect()
MISTRAL = MistralDialect()
OPENAI = OpenAIDialect()

__all__ = ["GEMINI", "MISTRAL", "OPENAI", "Dialect"]
