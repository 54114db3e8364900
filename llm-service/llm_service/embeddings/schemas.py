"""OpenAI's shape of requests and answers (https://platform.openai.com/docs/api-reference/embeddings)."""

import base64
import struct
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_service.providers import Embeddings

Text = Annotated[str, Field(min_length=1)]
Tokens = Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1)]
MOST_INPUTS = 2048


class EmbeddingRequest(BaseModel):
    """`input` is a text, some texts, a text's token ids, or some of those. Further fields go to the provider."""

    model_config = ConfigDict(extra="allow")

    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
        | Tokens
        | Annotated[list[Tokens], Field(min_length=1, max_length=MOST_INPUTS)]
    )
    model: Annotated[str, Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    user: str | None = None

    @property
    def inputs(self) -> list[str] | list[list[int]]:
        given: Any = self.input
        alone = isinstance(given, str) or isinstance(given[0], int)
        return [given] if alone else given


class Embedding(BaseModel):
    """A vector: numbers, or their 32-bit floats, little-endian, in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(BaseModel):
    """One vector for each input, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage

    @classmethod
    def of(cls, found: Embeddings, *, model: str, encoding: Literal["float", "base64"]) -> "EmbeddingAnswer":
        write: Any = list if encoding == "float" else _base64
        vectors = [Embedding(index=number, embedding=write(one)) for number, one in enumerate(found.vectors)]
        tokens = found.usage.input_tokens
        usage = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
        return cls(data=vectors, model=model, usage=usage)


def _base64(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
