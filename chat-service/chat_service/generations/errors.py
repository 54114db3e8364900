"""What can be wrong with a generation."""

from shared.errors import NotFound


class GenerationNotFound(NotFound):
    code, title = "generation_not_found", "There is no such generation"
