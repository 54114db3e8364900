"""Wire JSON ⇄ canonical request and events, one dialect a package."""

from llm_service.dialects.anthropic import AnthropicDialect
from llm_service.dialects.base import Dialect
from llm_service.dialects.gemini import GeminiDialect
from llm_service.dialects.mistral import MistralDialect
from llm_service.dialects.openai import OpenAIDialect

ANTHROPIC = AnthropicDialect()
GEMINI = GeminiDialect()
MISTRAL = MistralDialect()
OPENAI = OpenAIDialect()

__all__ = ["ANTHROPIC", "GEMINI", "MISTRAL", "OPENAI", "Dialect"]
