"""Amounts of money as clients see them."""

from decimal import Decimal


def plain(amount: Decimal) -> str:
    """A decimal without exponent, and without zeros at its end."""
    return f"{amount.normalize():f}"
