"""The cost of one decision in this process: `.venv/bin/pytest benchmarks/test_rate_limit_cost.py`. Not gating."""

from itertools import count
from typing import Any

from api_gateway.rate_limit import Limit, MemoryRateLimiter

TWO = [Limit("principal", "principal:org_1/usr_1", 1_000_000), Limit("key", "key:key_1", 1_000_000)]


def test_a_user_and_a_key(benchmark: Any) -> None:
    limiter = MemoryRateLimiter()
    benchmark(lambda: limiter.decide_now(TWO))


def test_a_user_and_a_key_with_the_headers(benchmark: Any) -> None:
    limiter = MemoryRateLimiter()
    benchmark(lambda: limiter.decide_now(TWO).headers())


def test_a_new_address_each_time(benchmark: Any) -> None:
    limiter = MemoryRateLimiter(capacity=10_000)
    numbers = count()
    benchmark(lambda: limiter.decide_now([Limit("address", f"address:{next(numbers)}", 300)]))


def test_a_refusal(benchmark: Any) -> None:
    limiter = MemoryRateLimiter()
    narrow = [Limit("key", "key:key_1", 1)]
    limiter.decide_now(narrow)
    benchmark(lambda: limiter.decide_now(narrow))
