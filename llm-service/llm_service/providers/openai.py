"""OpenAI itself (https://platform.openai.com/docs/api-reference)."""

from typing import Any

from llm_service.dialects.base import Body
from llm_service.providers.base import Call
from llm_service.providers.http import HttpProvider
from llm_service.providers.openai_compatible import OpenAICompatibleProvider

NOT_OPENAIS = ("reasoning_content", "reasoning_details", "reasoning")
"""Fields of an assistant's message that other providers' answers carry: OpenAI refuses a request that has them."""


class OpenAIProvider(OpenAICompatibleProvider):
    """Takes `max_completion_tokens`: its reasoning models refuse the older `max_tokens`."""

    section = "openai"

    def request_body(self, call: Call) -> Body:
        body = HttpProvider.request_body(self, call)
        if isinstance(messages := body.get("messages"), list):
            body["messages"] = [_own_words(message) for message in messages]
        return body


def _own_words(message: Any) -> Any:
    """A message of the conversation, without what another provider said in words of its own."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    own = {name: value for name, value in message.items() if name not in NOT_OPENAIS}
    if isinstance(calls := message.get("tool_calls"), list):
        own["tool_calls"] = [_without_seal(call) for call in calls]
    return own


def _without_seal(call: Any) -> Any:
    return {k: v for k, v in call.items() if k != "extra_content"} if isinstance(call, dict) else call
