"""What a request loses on its way into another dialect: refused, or dropped where the client allows it, and told."""

from collections.abc import Collection

from llm_service.errors import NotExpressible


class Losses:
    """One attempt's. `allowed` is the request's `drop_params`: everything, nothing, or these fields."""

    def __init__(self, *, allowed: bool | Collection[str] = False) -> None:
        self._allowed = allowed
        self.fields: list[str] = []

    def drop(self, field: str, *, target: str) -> None:
        """`field`, in the client's words, changes the answer and has no word in `target`'s. Raises NotExpressible."""
        allowed = self._allowed if isinstance(self._allowed, bool) else field in self._allowed
        if not allowed:
            raise NotExpressible(field, target=target)
        self.ignore(field)

    def ignore(self, field: str) -> None:
        """`field` is a hint that changes no answer (a cache mark, a label): dropped, and told."""
        if field not in self.fields:
            self.fields.append(field)
