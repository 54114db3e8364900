"""The ledger and the budgets as other services of the platform use them, over the typed client."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_service.main import create_app
from llm_service.settings import Settings
from shared.auth import Policy, Principal
from shared.auth.policy import Budget
from shared.clients.ledger import LedgerClient
from shared.clients.problems import ProblemFromService
from shared.errors import DomainError
from shared.events import Usage
from shared.ids import new_id
from shared.upstreams import InProcessUpstream, Upstreams
from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import assert_sums_agree, requests, rows, windows
from tests.tokens import SECRET, auth_stub

StartLedger = Callable[..., AbstractAsyncContextManager[LedgerClient]]
NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)


def caller(**policy: Any) -> Principal:
    key_id = new_id("key")
    return Principal(
        user_id="usr_a",
        organization_id="org_a",
        session_id=key_id,
        scopes=frozenset(),
        issued_at=0,
        expires_at=0,
        token="",
        policy=Policy(key=key_id, **policy),
    )


def with_budget(usd: str) -> Principal:
    return caller(budget=Budget(usd=Decimal(usd), period="month"))


@pytest.fixture
def start_ledger(database_url: str, tmp_path: Path) -> StartLedger:
    @asynccontextmanager
    async def start(*, secret: str = SECRET, service: str = "chat", **settings: Any) -> AsyncIterator[LedgerClient]:
        config = tmp_path / "llm.yaml"
        config.write_text("providers: {echo: {type: echo, models: [any]}}\n")
        given = {"llm_config": config, "data_dir": tmp_path, "database_url": database_url, "secret_key": SECRET}
        app = create_app(Settings.model_validate({"log_level": "error", **given, **settings}), variables={})
        app.state.upstreams = Upstreams([auth_stub()])
        llm = InProcessUpstream("llm", app=app)
        async with llm.running():
            yield LedgerClient(llm, secret=secret, service=service)

    return start


async def test_a_tool_is_paid_from_the_key_s_budget_and_stands_in_the_ledger(
    start_ledger: StartLedger, database_url: str, tmp_path: Path
) -> None:
    payer = with_budget("1")
    async with start_ledger() as ledger:
        reservation = await ledger.reserve(payer, model="acme/search", usd=Decimal("0.4"), request_id="req_1")
        assert (await windows(database_url))["budget:month"] == (0, Decimal("0.4"))
        spent: dict[str, Any] = {"model": "acme/search", "cost_usd": Decimal("0.123456789012"), "started_at": NOW}
        for _ in range(2):  # told twice, it counts once
            await ledger.charge(payer, id=reservation, reserved=True, usage=Usage(input_tokens=7), **spent)
    (one,) = await requests(database_url)
    assert not (tmp_path / "ledger" / "rejected.txt").exists()
    assert (one["source"], one["model"], one["cost_usd"]) == ("chat", "acme/search", Decimal("0.123456789012"))
    assert one["key_id"] == payer.session_id
    assert (await windows(database_url))["budget:month"] == (Decimal("0.123456789012"), 0)
    await assert_sums_agree(database_url)


async def test_what_does_not_fit_is_refused_as_to_a_client(start_ledger: StartLedger) -> None:
    payer = with_budget("1")
    async with start_ledger() as ledger:
        await ledger.reserve(payer, model="acme/search", usd=Decimal("0.7"))
        with pytest.raises(ProblemFromService) as refused:
            await ledger.reserve(payer, model="acme/search", usd=Decimal("0.31"))
    assert (refused.value.status, refused.value.code) == (429, "budget_exhausted")
    assert refused.value.headers["retry-after"] == "1"  # the other's reservation may be given back


async def test_a_reservation_that_its_service_does_not_renew_is_charged(
    start_ledger: StartLedger, database_url: str
) -> None:
    payer = with_budget("1")
    async with start_ledger(llm_lease_seconds=0.5) as ledger:
        kept = await ledger.reserve(payer, model="acme/kept", usd=Decimal("0.1"))
        await ledger.reserve(payer, model="acme/lost", usd=Decimal("0.2"))

        async def charged() -> bool:
            await ledger.renew(kept)
            return (await windows(database_url))["budget:month"] == (Decimal("0.2"), Decimal("0.1"))

        await eventually(charged, what="one is charged, the other still reserved", within=5)
    (one,) = await requests(database_url)
    assert (one["model_asked"], one["result"], one["source"], one["estimated"]) == ("acme/lost", "lost", "chat", True)


async def test_who_has_no_limits_reserves_nothing(start_ledger: StartLedger, database_url: str) -> None:
    payer = caller()
    async with start_ledger() as ledger:
        reservation = await ledger.reserve(payer, model="acme/search", usd=Decimal("0.4"))
        assert await rows(database_url, "SELECT * FROM llm.reservations") == []
        await ledger.charge(payer, id=reservation, reserved=True, model="acme/search", cost_usd=None, started_at=NOW)
    assert [one["cost_usd"] for one in await requests(database_url)] == [None]


@pytest.mark.parametrize("service", ["chat", "stranger"])
async def test_only_services_with_their_own_key_may_charge(service: str, start_ledger: StartLedger) -> None:
    async with start_ledger(secret="another-secret", service=service) as ledger:  # not the platform's
        with pytest.raises(DomainError) as refused:
            await ledger.reserve(with_budget("1"), model="acme/search", usd=Decimal(1))
    assert refused.value.status == 401
