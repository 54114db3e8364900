"""Any server that speaks OpenAI's Chat Completions: Ollama, vLLM, LM Studio, llama.cpp and many hosted ones."""

from llm_service.dialects import OPENAI
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, ListsModels
from llm_service.providers.http import HttpProvider, failures_told
from llm_service.providers.keys import ApiKey


class OpenAICompatibleProvider(HttpProvider, ListsModels):
    """Speaks the `openai` dialect; a key is optional, as on most local servers."""

    dialect = OPENAI

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        return {"authorization": f"Bearer {key.secret}"} if key else {}

    def path(self, call: Call) -> str:  # noqa: ARG002 # others have the model in it
        return "chat/completions"

    def request_body(self, call: Call) -> Body:
        """Older servers know `max_tokens` only, so what we translate is said in both words' common one."""
        body = super().request_body(call)
        if call.ingress.dialect is not OPENAI and "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        return body

    async def list_models(self) -> tuple[str, ...]:
        with failures_told(self.name):
            response = await self._http.get("models", headers=self.headers(self.keys.choose()), timeout=3)
            if response.status_code != 200:
                raise OPENAI.parse_error(response.status_code, response.content)
        try:
            return tuple(str(model["id"]) for model in response.json()["data"])
        except (ValueError, KeyError, TypeError):
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} does not list its models.") from None
