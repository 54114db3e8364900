"""The README, word for word, in each shape."""

from tests.e2e.examples import check_shell_blocks, run_node, run_sdk, run_shell_blocks
from tests.e2e.platforms import Platform
from tests.e2e.readme import blocks

QUESTION = "Qual é a capital do Brasil?"
ANSWER = "A capital do Brasil é Brasília."


def test_the_readme_works_as_pasted_without_a_key(echoing: Platform) -> None:
    printed = run_shell_blocks(echoing)
    check_shell_blocks(printed, provider="echo", answer=QUESTION)
    assert run_sdk(echoing, printed["exported"]).strip() == QUESTION
    assert run_node(echoing, printed["exported"]) == QUESTION  # last: it skips where there is no node


def test_the_readme_works_as_pasted_with_a_provider(serving: Platform) -> None:
    printed = run_shell_blocks(serving)
    check_shell_blocks(printed, provider="openai", answer=ANSWER)
    assert run_sdk(serving, printed["exported"]).strip() == ANSWER
    assert run_node(serving, printed["exported"]) == ANSWER  # last: it skips where there is no node


def test_the_portuguese_readme_shows_the_same_examples() -> None:
    assert blocks("README.pt-BR.md") == blocks("README.md")
