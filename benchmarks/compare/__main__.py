"""Measures gateways side by side on this machine, one after the other, over the same stand-in for a provider.

PYTHONPATH=. .venv/bin/python -m benchmarks.compare                         # ours, and the peers: 8 minutes
PYTHONPATH=. .venv/bin/python -m benchmarks.compare --peers "" --seconds 3  # ours alone
PYTHONPATH=. .venv/bin/python -m benchmarks.compare --scenario scaling,start

Needs Linux, nginx and wrk, for Portkey also Node. Peers are installed on first use in ~/.cache/synapscale-benchmarks;
while it measures, nothing but the loopback is talked to.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.compare import scaling
from benchmarks.compare.endpoint import Gateway
from benchmarks.compare.guard import Wrong
from benchmarks.compare.ours import DISTRIBUTED, STANDALONE, Ours
from benchmarks.compare.peers import PEERS
from benchmarks.compare.scenarios import SCENARIOS, Scenario, measure
from benchmarks.compare.start import measure_start
from benchmarks.compare.tables import Results, about, show, show_head, show_results
from benchmarks.compare.tools import CACHE, Missing, clean_up_when_told_to_end, free_port, need

OURS: dict[str, Ours] = {"standalone": STANDALONE, "distributed": DISTRIBUTED}
DEFAULT_SCENARIOS = ",".join(SCENARIOS)


def tell(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def installed(names: Sequence[str]) -> list[Gateway]:
    """Those that can be; why another cannot is told, and keeps nobody else from being measured."""
    found = []
    for name in names:
        try:
            PEERS[name].install(CACHE)
        except Missing as missing:
            tell(f"{name} is left out: {missing}")
        else:
            found.append(PEERS[name])
    return found


def measure_all(gateway: Gateway, scenarios: Sequence[Scenario], results: Results, *, seconds: float) -> None:
    """Adds to `results`; a gateway that does not start, or that answers wrong, has that for its figures."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name, ExitStack() as until_the_end:
        (folder := Path(name) / "load").mkdir()
        (own := Path(name) / "gateway").mkdir()
        try:
            endpoint = until_the_end.enter_context(gateway.running(f"http://127.0.0.1:{port}/v1", own))
        except Missing as missing:
            for scenario in scenarios:
                results.setdefault(scenario.name, {})[gateway.name] = {"failed": str(missing)[:200]}
            return
        for scenario in scenarios:
            tell(f"{gateway.name}: {scenario.name}")
            by_gateway = results.setdefault(scenario.name, {})
            try:
                by_gateway[gateway.name] = measure(
                    scenario, endpoint, provider_port=port, seconds=seconds, folder=folder
                )
            except Exception as error:  # whatever a gateway does under load is its result
                kind = "" if isinstance(error, Wrong) else f"{type(error).__name__}: "
                by_gateway[gateway.name] = {"failed": f"{kind}{error}"[:200]}


def compare(gateways: Sequence[Gateway], scenarios: Sequence[Scenario], *, seconds: float) -> Results:
    results: Results = {}
    for gateway in gateways:
        measure_all(gateway, scenarios, results, seconds=seconds)
    show_results(results, ours=[one.name for one in OURS.values() if one in gateways])
    return results


def main(arguments: argparse.Namespace) -> None:
    need("nginx", "wrk")
    kinds = arguments.scenario.split(",")
    scenarios = [scenario for name in kinds for scenario in SCENARIOS.get(name, ())]
    ours = [OURS[name] for name in arguments.ours.split(",") if name]
    peers = installed([name for name in arguments.peers.split(",") if name]) if scenarios else []
    head = about({one.name: one.version for one in (*peers, *ours)})
    show_head(head)
    results = compare([*peers, *ours], scenarios, seconds=arguments.seconds)
    if "start" in kinds:
        results["start"] = {one.name: measure_start(one) for one in ours}
        print("\n### Start\n")
        show(["", *results["start"][ours[0].name]], [[name, *row.values()] for name, row in results["start"].items()])
    if "scaling" in kinds:
        for one in ours:
            results[f"scaling, {one.name}"] = scaling.measure(
                one, parts=arguments.parts.split(","), seconds=arguments.seconds
            )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"about": head, "results": results}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}; empty for none")
    parser.add_argument("--ours", default=",".join(OURS), help=f"of {', '.join(OURS)}")
    parser.add_argument("--scenario", default=DEFAULT_SCENARIOS, help=f"of {DEFAULT_SCENARIOS},scaling,start")
    parser.add_argument("--parts", default=",".join(scaling.PARTS), help=f"of scaling: {', '.join(scaling.PARTS)}")
    parser.add_argument("--seconds", type=float, default=6, help="of each load")
    parser.add_argument("--json", help="a file for the figures")
    clean_up_when_told_to_end()
    try:
        main(parser.parse_args())
    except Missing as missing:
        sys.exit(str(missing))
