"""What another service answered with instead of a result, raised here as the domain error that it is."""

from typing import Any

import httpx2
import msgspec

from shared.errors import BadGateway, DomainError, GatewayTimeout, Unavailable


class ProblemFromService(DomainError):
    """A problem+json of another service, passed on as it stands."""

    def __init__(self, body: dict[str, Any], *, headers: httpx2.Headers) -> None:
        own = {"type", "title", "status", "detail", "instance", "code", "request_id"}
        super().__init__(str(body["detail"]), **{name: value for name, value in body.items() if name not in own})
        self.status = int(body["status"])  # type: ignore[misc] # known at run time only
        self.code = str(body["code"])  # type: ignore[misc]
        self.title = str(body["title"])  # type: ignore[misc]
        self._headers = {name: headers[name] for name in ("retry-after", "www-authenticate") if name in headers}

    @property
    def headers(self) -> dict[str, str]:
        return self._headers


async def raise_for_problem(response: httpx2.Response, *, service: str) -> None:
    """Returns where the answer is a success. Reads the body otherwise."""
    if response.is_success:
        return
    body = await response.aread()
    try:
        raise ProblemFromService(msgspec.json.decode(body, type=dict), headers=response.headers)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise BadGateway(f"The {service} service answered {response.status_code} without saying why.") from None


def from_transport(error: httpx2.HTTPError, *, service: str) -> DomainError:
    match error:
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return Unavailable(f"The {service} service cannot be reached.")
        case httpx2.TimeoutException():
            return GatewayTimeout(f"The {service} service took too long to answer.")
        case _:
            return BadGateway(f"The {service} service broke its answer off.")
