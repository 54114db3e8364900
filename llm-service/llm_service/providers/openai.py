"""OpenAI itself (https://platform.openai.com/docs/api-reference)."""

from llm_service.dialects.base import Body
from llm_service.providers.base import Call
from llm_service.providers.http import HttpProvider
from llm_service.providers.openai_compatible import OpenAICompatibleProvider


class OpenAIProvider(OpenAICompatibleProvider):
    """Takes `max_completion_tokens`: its reasoning models refuse the older `max_tokens`."""

    section = "openai"

    def request_body(self, call: Call) -> Body:
        return HttpProvider.request_body(self, call)
