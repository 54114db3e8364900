"""The simulator as its own process: a command line, and endpoints by which another process steers it and looks on."""

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.simulators.answers import says
from tests.simulators.connection import RecordedRequest
from tests.simulators.faults import parse_fault
from tests.simulators.replies import Document

if TYPE_CHECKING:
    from tests.simulators.http import Simulator


def answer(simulator: "Simulator", request: RecordedRequest) -> Document:
    """`GET /__requests`: what came. `POST /__control`: a change, as in `steer`; `GET /__control`: the state."""
    match request.method, request.path:
        case "GET", "/__requests":
            return _document({"requests": [recorded.to_json() for recorded in simulator.requests]})
        case "GET", "/__control":
            return _document(_state(simulator))
        case "POST", "/__control":
            try:
                steer(simulator, request.body)
            except (TypeError, ValueError) as error:
                return _document({"error": str(error)}, status=400)
            return _document(_state(simulator))
        case _:
            return _document({"error": f"no {request.method} {request.path}"}, status=404)


def steer(simulator: "Simulator", change: Any) -> None:
    """Applies the keys of the object `change` in their order; raises TypeError or ValueError for what is none of these.

    `answer`: a text, or an object with the arguments of `answers.says`, for the next question.
    `fault`: a name, or an object with a name and a fault's fields, for the next request that it befalls.
    `pace`: seconds before each piece of content. `hold_after`: pieces after which answers are held.
    `release`: true lets them go. `reset`: true forgets requests, answers, faults, pace and gate.
    """
    if not isinstance(change, dict):
        raise TypeError("a change is a JSON object")
    for key, value in change.items():
        match key:
            case "answer":
                simulator.will_answer(value if isinstance(value, str) else says(**value))
            case "fault":
                simulator.faults.append(parse_fault(value))
            case "pace":
                simulator.pace = float(value)
            case "hold_after":
                simulator.hold(after=int(value))
            case "release":
                _release(simulator)
            case "reset":
                _release(simulator)
                simulator.pace = 0.0
                simulator.faults.clear()
                simulator.answers.clear()
                simulator.requests.clear()
            case _:
                raise ValueError(f"{key!r} is not one of answer, fault, pace, hold_after, release, reset")


def main(kind: "type[Simulator]", arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGINT or SIGTERM; the first line on standard output is the base URL."""
    parser = argparse.ArgumentParser(description=f"{kind.title} on loopback, simulated")
    parser.add_argument("--port", type=int, default=0, help="the system chooses one by default")
    parser.add_argument("--api-key", default=None, help=f"the key that clients must send ({kind.default_key})")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds before each piece of content")
    parser.add_argument("--list-faults", action="store_true", help="list the models fault-… and …-slow with the others")
    options = parser.parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(kind(**vars(options))))


async def _serve(simulator: "Simulator") -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with simulator:
        print(simulator.base_url, flush=True)
        await stopped.wait()


def _release(simulator: "Simulator") -> None:
    if simulator.gate:
        simulator.gate.release()


def _state(simulator: "Simulator") -> dict[str, Any]:
    gate = simulator.gate
    closed = gate is not None and not gate.opened.is_set()
    return {
        "requests": len(simulator.requests),
        "connections": simulator.connections,
        "answers": len(simulator.answers),
        "faults": [fault.name for fault in simulator.faults],
        "pace": simulator.pace,
        "hold_after": gate.after if gate and closed else None,
        "held": gate.held if gate else 0,
    }


def _document(content: object, *, status: int = 200) -> Document:
    body = json.dumps(content, indent=2, ensure_ascii=False).encode()
    return Document(body, status=status, headers={"content-type": "application/json"})
