"""What the ledger costs this process: `.venv/bin/pytest benchmarks/test_ledger_cost.py`. Not gating.

What PostgreSQL does, and what the way there takes, is in `benchmarks/usage.py`.
"""

from pathlib import Path
from typing import Any

from benchmarks.usage import BATCH, entry
from llm_service.ledger.records import encoded
from llm_service.ledger.writer import Ledger


def test_an_append(benchmark: Any, tmp_path: Path) -> None:
    ledger: Any = Ledger(None, directory=tmp_path)  # type: ignore[arg-type]  # nothing is written here
    one = entry(1)

    def append() -> None:
        ledger.append(one)
        ledger._queue.clear()

    benchmark(append)


def test_a_batch_of_500_records_in_the_form_that_postgresql_takes(benchmark: Any) -> None:
    records = [entry(number).record for number in range(BATCH)]
    benchmark(lambda: encoded(records))
