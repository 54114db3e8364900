"""OpenAI itself (https://platform.openai.com/docs/api-reference)."""

import re
from typing import Any

import msgspec

from llm_service.dialects.base import Body
from llm_service.providers.base import Call
from llm_service.providers.http import HttpProvider
from llm_service.providers.openai_compatible import OpenAICompatibleProvider

NOT_OPENAIS = ("reasoning_content", "reasoning_details", "reasoning")
"""Fields of an assistant's message that other providers' answers carry: OpenAI refuses a request that has them."""

PERHAPS_NOT_OPENAIS = re.compile(rb'"reasoning|"extra_content"')


class OpenAIProvider(OpenAICompatibleProvider):
    """Takes `max_completion_tokens`: its reasoning models refuse the older `max_tokens`."""

    section = "openai"

    def request_body(self, call: Call) -> Body:
        body = HttpProvider.request_body(self, call)
        messages = body["messages"]
        if isinstance(messages, msgspec.Raw):  # as the client sent them
            if not PERHAPS_NOT_OPENAIS.search(messages):
                return body
            messages = msgspec.json.decode(messages)
        return {**body, "messages": [_own_words(message) for message in messages]}


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
