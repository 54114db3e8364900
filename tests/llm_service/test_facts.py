"""What is known of models, and what an answer costs by it."""

from decimal import Decimal

import pytest

from llm_service.facts import Facts, Prices, facts_of, known_models
from shared.events import Usage

PRICES = Prices(
    input=Decimal("3"),
    output=Decimal("15"),
    cached_input=Decimal("0.3"),
    cache_write=Decimal("3.75"),
    cache_write_1h=Decimal("6"),
    input_audio=Decimal("40"),
    output_audio=Decimal("80"),
)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(), "0"),
        (Usage(input_tokens=1), "0.000003"),
        (Usage(input_tokens=MILLION, output_tokens=MILLION), "18"),
        (Usage(input_tokens=MILLION, cached_input_tokens=MILLION), "0.3"),
        (Usage(input_tokens=MILLION, cache_write_tokens=MILLION), "3.75"),
        (Usage(input_tokens=MILLION, cache_write_tokens=MILLION, cache_write_1h_tokens=MILLION), "6"),
        (Usage(input_tokens=MILLION, input_audio_tokens=500_000), "21.5"),
        (Usage(output_tokens=MILLION, output_audio_tokens=500_000), "47.5"),
        (Usage(output_tokens=MILLION, reasoning_tokens=MILLION), "15"),
    ],
)
def test_each_kind_of_token_has_its_price(usage: Usage, cost: str) -> None:
    assert PRICES.cost(usage) == Decimal(cost)


def test_a_kind_without_a_price_of_its_own_costs_as_the_rest() -> None:
    plain = Prices(input=Decimal(3), output=Decimal(15))
    usage = Usage(input_tokens=MILLION, cached_input_tokens=300_000, output_tokens=MILLION, output_audio_tokens=500_000)
    assert plain.cost(usage) == 18


def test_a_long_prompt_is_priced_as_a_whole() -> None:
    prices = known_models()["anthropic"]["claude-sonnet-4-5"].prices
    assert prices is not None
    assert prices.cost(Usage(input_tokens=200_000)) == Decimal("0.6")
    assert prices.cost(Usage(input_tokens=200_001)) == Decimal(200_001) * 6 / MILLION


def test_a_dated_name_is_known_by_its_models() -> None:
    plain = facts_of("gpt-4o", section="openai", overrides={})
    assert plain.prices is not None
    assert facts_of("gpt-4o-2031-01-01", section="openai", overrides={}) == plain
    assert facts_of("gpt-4o", section="elsewhere", overrides={}) == Facts()


def test_what_the_operator_knows_better_wins_field_by_field() -> None:
    found = facts_of("gpt-4o", section="openai", overrides={"gpt-4o": Facts(context_window=7)})
    assert found.context_window == 7
    assert found.prices == facts_of("gpt-4o", section="openai", overrides={}).prices


def test_every_model_of_the_shipped_list_is_plausible() -> None:
    for provider, models in known_models().items():
        for name, facts in models.items():
            where = f"{provider}/{name}"
            assert facts.input is None or "text" in facts.input, where
            assert facts.context_window is None or facts.context_window > 500, where
            if facts.prices is not None:
                assert 0 <= facts.prices.input < 1000, where
                assert 0 <= facts.prices.output < 1000, where
                assert facts.prices.cached_input is None or facts.prices.cached_input <= facts.prices.input, where
