"""The form of an API key: what is one is told from what is not, without asking anybody."""

import string

from hypothesis import given
from hypothesis import strategies as st

from shared.auth.api_keys import PREFIX, is_api_key, new_api_key

LETTERS = string.digits + string.ascii_letters
LENGTH = len(PREFIX) + 43 + 6


def test_a_new_key_is_one_and_no_two_are_the_same() -> None:
    keys = [new_api_key() for _ in range(1000)]
    assert all(is_api_key(key) and len(key) == LENGTH for key in keys)
    assert len(set(keys)) == 1000


@given(st.text())
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert not is_api_key(text)
    assert not is_api_key(PREFIX + text)


@given(st.text(alphabet=LETTERS, min_size=49, max_size=49))
def test_the_right_form_without_the_right_checksum_is_no_key(text: str) -> None:
    assert not is_api_key(PREFIX + text)


@given(st.data())
def test_one_changed_character_is_noticed(data: st.DataObject) -> None:
    key = new_api_key()
    place = data.draw(st.integers(0, LENGTH - 1))
    other = data.draw(st.characters().filter(lambda character: character != key[place]))
    assert not is_api_key(key[:place] + other + key[place + 1 :])


@given(st.data())
def test_a_key_with_something_around_it_or_cut_off_is_none(data: st.DataObject) -> None:
    key = new_api_key()
    around = data.draw(st.text(min_size=1))
    cut = data.draw(st.integers(0, LENGTH - 1))
    assert not is_api_key(key + around)
    assert not is_api_key(around + key)
    assert not is_api_key(key[:cut])
