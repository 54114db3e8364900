"""Vectors that mean nothing and are the same in every run; equal texts have equal ones."""

import base64
import random
import struct


def vector(text: str, dimensions: int) -> list[float]:
    """Of length 1."""
    drawn = random.Random(text)
    numbers = [drawn.gauss(0, 1) for _ in range(dimensions)]
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]


def packed(numbers: list[float]) -> str:
    """32-bit floats, little-endian, base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
