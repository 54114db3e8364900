"""What can be wrong with asking for vectors."""

from shared.errors import Unprocessable


class NoEmbeddings(Unprocessable):
    """Whoever serves the model offers no vectors."""

    code, title = "embeddings_not_offered", "The model gives no embeddings"

    def __init__(self, model: str) -> None:
        super().__init__(f"Nobody who serves {model!r} gives embeddings.", param="model")
