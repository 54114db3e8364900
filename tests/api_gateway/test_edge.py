"""Who is believed about where a request comes from, what answers tell browsers, traces, and who may read metrics."""

import re
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from api_gateway.forwarded import client_behind, limited_as
from api_gateway.settings import Settings
from shared.networks import Networks
from shared.upstreams import InProcessUpstream
from tests.api_gateway.conftest import Gateway, gateway_over, silent_service
from tests.api_gateway.puppet import Puppet
from tests.api_gateway.test_health import well
from tests.tokens import auth_stub

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


async def seen(client: httpx2.AsyncClient, headers: Any) -> dict[str, str]:
    """The headers that a service gets."""
    answer = await client.get("/api/llm/mirror", headers=headers)
    assert answer.status_code == 200
    return dict(answer.json()["headers"])


# X-Forwarded-For


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["6.6.6.6, 203.0.113.7, 10.0.0.2, 10.0.0.3"], "203.0.113.7"),
        (["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        (["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8::1]:80"], "2001:db8::1"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["::ffff:10.0.0.2"], "10.0.0.2"),
        ([""], "10.0.0.1"),
        (["203.0.113.7\x00"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_who_is_no_proxy(hops: list[str], client: str) -> None:
    split = [hop for value in hops for hop in value.split(",")]
    assert client_behind("10.0.0.1", split, Networks("10.0.0.0/8, ::1")) == client


async def test_a_trusted_proxy_says_who_the_client_is(gateway: Gateway) -> None:
    said = {"x-forwarded-for": "6.6.6.6, 203.0.113.7", "x-forwarded-proto": "https"}
    async with gateway(trusted_proxies="127.0.0.1") as client:
        headers = await seen(client, said)
    assert headers["x-forwarded-for"] == "203.0.113.7"
    assert headers["x-forwarded-proto"] == "https"


async def test_a_stranger_is_not_believed(gateway: Gateway) -> None:
    said = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
    async with gateway(trusted_proxies="192.0.2.0/24") as client:
        headers = await seen(client, said)
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"


@pytest.mark.parametrize("proto", ["javascript", "", "https, http", "https\t;x"])
async def test_an_odd_scheme_is_not_believed_of_anybody(gateway: Gateway, proto: str) -> None:
    async with gateway(trusted_proxies="127.0.0.1") as client:
        headers = await seen(client, {"x-forwarded-proto": proto})
    assert headers["x-forwarded-proto"] == "http"


async def test_limits_count_the_client_behind_the_proxy_and_not_what_it_invents(puppet: Puppet) -> None:
    upstreams = [auth_stub(), silent_service("llm"), silent_service("chat")]
    async with gateway_over(*upstreams, trusted_proxies="127.0.0.1", rate_limit_anonymous_per_minute=1) as client:
        one = [await client.get("/", headers={"x-forwarded-for": f"6.6.6.{n}, 203.0.113.7"}) for n in range(2)]
        other = await client.get("/", headers={"x-forwarded-for": "203.0.113.8"})
    assert [answer.status_code for answer in one] == [200, 429]
    assert other.status_code == 200


def test_an_ipv6_subscriber_is_counted_once() -> None:
    assert limited_as("2001:db8:1:2:3::4") == limited_as("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert limited_as("2001:db8:1:3::") != limited_as("2001:db8:1:2::")
    assert limited_as("::ffff:192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    "mistake",
    [
        {"trusted_proxies": "everybody"},
        {"trusted_proxies": "10.0.0.1/8"},
        {"metrics_from": "10.0.0.256"},
        {"redis_url": "localhost:6379"},
        {"rate_limit_per_minute": -1},
        {"rate_limit_per_minute": 1_000_001},
    ],
)
def test_a_mistake_in_the_settings_is_found_at_the_start(mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**mistake)


# Headers for browsers


@pytest.mark.parametrize("path", ["/", "/health/live", "/nowhere", "/api/llm/mirror", "/api/llm/broken", "/v1/../x"])
async def test_every_answer_carries_the_security_headers(gateway: Gateway, path: str) -> None:
    async with gateway() as client:
        answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers
    if answer.status_code != 500:
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_https_is_asked_for_where_the_public_address_has_it(puppet: Puppet) -> None:
    upstreams = [auth_stub(), silent_service("llm"), silent_service("chat")]
    async with gateway_over(*upstreams, public_url="https://api.example") as client:
        answer = await client.get("/")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_the_docs_page_loads_all_it_needs_under_its_policy() -> None:
    async with gateway_over(well("auth"), well("llm"), well("chat")) as client:
        page = await client.get("/docs")
        sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        files = [await client.get(source) for source in sources]
    policy = page.headers["content-security-policy"]
    assert sources
    assert all(source.startswith("/docs/files/") for source in sources)
    assert all(file.status_code == 200 for file in files)
    assert "script-src 'self' 'unsafe-inline'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_what_a_service_sets_itself_is_left_alone_but_for_its_name(puppet: Puppet) -> None:
    async def named(request: Any, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"server", b"x"), (b"x-powered-by", b"y"), (b"content-security-policy", b"sandbox")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    puppet.named = named  # type: ignore[attr-defined]
    upstreams = [auth_stub(), InProcessUpstream("llm", app=puppet.app), silent_service("chat")]
    async with gateway_over(*upstreams) as client:
        answer = await client.get("/api/llm/named")
    assert answer.headers.get_list("content-security-policy") == ["sandbox"]
    assert not {"server", "x-powered-by"} & set(answer.headers)


# Traces


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_a_trace_is_continued_with_a_span_of_our_own(gateway: Gateway, flags: str) -> None:
    async with gateway() as client:
        headers = await seen(client, {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "tracestate": "a=1,b=2"})
    version, trace, span, passed = headers["traceparent"].split("-")
    assert (version, trace, passed) == ("00", TRACE, flags)
    assert span != SPAN
    assert re.fullmatch("[0-9a-f]{16}", span)
    assert headers["tracestate"] == "a=1,b=2"


async def test_a_trace_of_a_later_version_is_continued_as_we_know_it(gateway: Gateway) -> None:
    async with gateway() as client:
        headers = await seen(client, {"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes"})
    assert headers["traceparent"].startswith(f"00-{TRACE}-")
    assert len(headers["traceparent"]) == 55


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}{SPAN}-01",
    ],
)
async def test_a_trace_that_is_none_is_replaced_and_its_state_dropped(gateway: Gateway, traceparent: str) -> None:
    async with gateway() as client:
        headers = await seen(client, {"traceparent": traceparent, "tracestate": "a=1"})
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])
    assert TRACE not in headers["traceparent"]
    assert "tracestate" not in headers


async def test_a_request_without_a_trace_or_with_two_gets_a_new_one(gateway: Gateway) -> None:
    twice = [("traceparent", f"00-{TRACE}-{SPAN}-01")] * 2
    async with gateway() as client:
        found = [await seen(client, []), await seen(client, []), await seen(client, twice)]
    traces = {headers["traceparent"].split("-")[1] for headers in found}
    assert len(traces) == 3
    assert TRACE not in traces


# Metrics


async def test_metrics_count_what_happened(puppet: Puppet) -> None:
    upstreams = [auth_stub(), InProcessUpstream("llm", app=puppet.app), silent_service("chat")]
    async with gateway_over(*upstreams, rate_limit_per_minute=2) as client:
        for _ in range(3):
            await client.get("/api/llm/mirror/a")
        await client.request("REPORT", "/nowhere")
        await client.get("/api/llm/mirror/b", headers={"authorization": "Bearer x"})
        answer = await client.get("/metrics")
        again = await client.get("/metrics")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'synapscale_gateway_requests_total{method="GET",route="/api/llm",status="2xx"} 2.0',
        'synapscale_gateway_requests_total{method="GET",route="/api/llm",status="4xx"} 2.0',
        'synapscale_gateway_requests_total{method="other",route="gateway",status="4xx"} 1.0',
        'synapscale_gateway_request_seconds_count{route="/api/llm"} 4.0',
        'synapscale_gateway_rate_limit_decisions_total{limit="principal",outcome="admitted"} 2.0',
        'synapscale_gateway_rate_limit_decisions_total{limit="principal",outcome="refused"} 1.0',
        'synapscale_gateway_authentications_total{outcome="accepted"} 3.0',
        'synapscale_gateway_authentications_total{outcome="refused"} 1.0',
        "synapscale_gateway_rate_limit_fallback 0.0",
    ):
        assert line in lines
    assert 'method="GET",route="gateway",status="2xx"' in again.text


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"metrics_from": "192.0.2.0/24"}, {}),
        ({"metrics_from": "none"}, {}),
        ({}, {"x-forwarded-for": "127.0.0.1"}),  # a proxy on this host passes somebody on
        ({}, {"forwarded": "for=127.0.0.1"}),
        ({}, {"via": "1.1 proxy"}),
        ({"trusted_proxies": "127.0.0.1"}, {"x-forwarded-for": "203.0.113.7"}),
        ({"trusted_proxies": "127.0.0.1"}, {"x-forwarded-for": "127.0.0.1"}),
    ],
)
async def test_metrics_are_hidden_from_strangers(settings: dict[str, Any], headers: dict[str, str]) -> None:
    upstreams = [auth_stub(), silent_service("llm"), silent_service("chat")]
    async with gateway_over(*upstreams, **settings) as client:
        answer = await client.get("/metrics", headers=headers)
        document = await client.get("/openapi.json")
    assert answer.status_code == 404
    assert "synapscale_gateway" not in answer.text
    assert "/metrics" not in document.text
