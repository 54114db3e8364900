"""OpenAI itself (https://platform.openai.com/docs/api-reference)."""

from llm_service.dialects import OPENAI
from llm_service.dialects.base import Body
from llm_service.providers.base import Call
from llm_service.providers.openai_compatible import OpenAICompatibleProvider


class OpenAIProvider(OpenAICompatibleProvider):
    """Needs a key, and takes `max_completion_tokens`: its reasoning models refuse the older `max_tokens`."""

    def __init__(self, name: str, *, base_url: str, api_key: str, models: tuple[str, ...]) -> None:
        super().__init__(name, base_url=base_url, api_key=api_key, models=models)

    def request_body(self, call: Call) -> Body:
        return call.ingress.body_for(OPENAI, model=call.model, stream=call.stream)
