"""Which passwords are refused, and why."""

import pytest

from auth_service.users.errors import UnacceptablePassword
from auth_service.users.password_policy import _common_passwords, check_password


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("k7#Vq2!pLz9", "password_too_short"),
        ("k7#Vq2!pLz9" * 30, "password_too_long"),
        ("abababababab", "password_too_simple"),
        ("xY7-marianne-Qp2", "password_holds_username"),
        ("xY7-MARIANNE-Qp2", "password_holds_username"),
        ("xY7-ｍａｒｉａｎｎｅ-Qp2", "password_holds_username"),
        ("1qaz2wsx3edc", "password_too_common"),
        ("1QAZ2wsx3EDC", "password_too_common"),
        ("password2026!", "password_too_common"),
        ("!!!Password12", "password_too_common"),
        ("password1234567890", "password_too_common"),
        ("passworddddddddd", "password_too_common"),
        ("passwordpassword", "password_too_common"),
        ("123456123456", "password_too_common"),
        ("qwerty!qwerty!qwerty!", "password_too_common"),
        ("dragondragon99", "password_too_common"),
        ("ＰＡＳＳＷＯＲＤ１２３４", "password_too_common"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(password: str, code: str) -> None:
    with pytest.raises(UnacceptablePassword) as refused:
        check_password(password, username="marianne")
    assert refused.value.code == code


@pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "Kp7-w2Zt_9mXq4", "x7v9q2m4k8z1", "água de março fechando", "\0\n\t binary 12"],
)
def test_others_are_taken(password: str) -> None:
    check_password(password, username="marianne")


def test_a_username_of_three_letters_is_no_reason() -> None:
    check_password("Banana-split-47-zq", username="ana")


def test_the_list_is_long_also_where_passwords_are() -> None:
    words = _common_passwords().decode().split("\n")
    assert len(words) > 30_000
    assert sum(len(word) >= 12 for word in words) > 10_000
