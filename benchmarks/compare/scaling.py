"""What one request costs our own platform as the work around it grows."""

import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import yaml

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.growth import Series, show_verdicts
from benchmarks.compare.guard import check_whole
from benchmarks.compare.many_keys import add_keys, first_key
from benchmarks.compare.ours import Ours
from benchmarks.compare.processes import watching
from benchmarks.compare.providers import streams, whole_answers
from benchmarks.compare.scenarios import Figures, Seen, Streams, WholeAnswers, spent
from benchmarks.compare.slow_reader import CHUNK, CHUNKS, read_slowly, read_whole
from benchmarks.compare.tables import show
from benchmarks.compare.tools import ROOT, Missing, free_port
from benchmarks.compare.whole import whole_answers_of

CONNECTIONS = (1, 4, 16, 64)
PROMPTS = (1_000, 10_000, 100_000, 1_000_000)
STREAMS = (10, 100, 500, 2000)
CHUNKS_OF_STREAM, PACE = 10, 0.5
"""A stream of five seconds, so that 2,000 of them are 4,000 chunks a second."""
ROUTES = (1, 10, 100)
KEYS = (1, 100, 10_000, 100_000)
SLOWLY = 60.0
FILES_OF_STREAM = 2
"""Of the platform: one to the client, one to the provider; each process has a limit of its own."""


@dataclass(frozen=True)
class Run:
    """Loads of so many seconds over one kind of platform."""

    platform: Ours
    seconds: float

    @contextmanager
    def started(self, *, config: Path | None = None) -> Iterator[tuple[Endpoint, int, Path]]:
        """With the provider's port, and the folder of both."""
        port = free_port()
        settings = {"SYNAPSCALE_LLM_CONFIG": str(config)} if config else {}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (own := folder / "platform").mkdir()
            platform = replace(self.platform, settings=settings)
            with platform.running(f"http://127.0.0.1:{port}/v1", own) as endpoint:
                yield endpoint, port, folder

    def point(self, series: Series, work: int, endpoint: Endpoint, load: Callable[..., Seen]) -> None:
        """The cost is CPU time for one answer; a warm-up goes before."""
        print(f"… {series.title}: {work:,}", file=sys.stderr, flush=True)
        load(seconds=1)
        with watching(endpoint.groups) as watch:
            seen = load(seconds=self.seconds)
        figures: Figures = {**seen.figures, **spent(watch, answers=seen.answers)}
        if seen.answers:
            series.add(work, watch.cpu / seen.answers, figures)
        else:
            print(f"{series.title}, {work:,}: no answer: {figures}", flush=True)


def connections(run: Run) -> Series:
    series = Series(f"Connections ({run.platform.name})", "connections", each=True)
    with run.started() as (endpoint, port, folder), whole_answers(port, folder=folder):
        check_whole(endpoint)
        for number in CONNECTIONS:
            load = WholeAnswers(number).load
            run.point(series, number, endpoint, partial(load, endpoint, folder=folder))
    return series


def prompts(run: Run) -> Series:
    series = Series(f"Bytes of the prompt ({run.platform.name})", "bytes", each=False)
    with run.started() as (endpoint, port, folder), whole_answers(port, folder=folder):
        for size in PROMPTS:
            run.point(series, size, endpoint, partial(whole, endpoint, folder=folder, padding=size))
    return series


def whole(endpoint: Endpoint, *, seconds: float, folder: Path, padding: int = 0, keys: Path | None = None) -> Seen:
    seen = whole_answers_of(endpoint, connections=4, seconds=seconds, folder=folder, padding=padding, credentials=keys)
    return Seen(seen.requests - seen.failed, {"requests/s": seen.per_second, "p50 ms": seen.p50, "failed": seen.failed})


def concurrent_streams(run: Run) -> Series:
    series = Series(f"Concurrent streams ({run.platform.name})", "streams", each=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # what is started from here on inherits it
    try:
        with run.started() as (endpoint, port, folder), streams(port, chunks=CHUNKS_OF_STREAM, interval=PACE):
            for number in STREAMS:
                if number * FILES_OF_STREAM + 200 > hard != resource.RLIM_INFINITY:
                    print(f"{number:,} streams are left out: `ulimit -Hn` is {hard}")
                    continue
                load = Streams(number, CHUNKS_OF_STREAM, PACE).load
                run.point(series, number, endpoint, partial(load, endpoint, folder=folder))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return series


def routes(run: Run) -> Series:
    series = Series(f"Routes of llm.yaml ({run.platform.name})", "routes", each=False)
    with tempfile.TemporaryDirectory() as name:
        for number in ROUTES:
            config = Path(name) / f"llm-{number}.yaml"
            config.write_text(yaml.safe_dump(config_with_routes(number)))
            with run.started(config=config) as (endpoint, port, folder), whole_answers(port, folder=folder):
                last = replace(endpoint, model=f"route-{number}")
                check_whole(last)
                run.point(series, number, last, partial(whole, last, folder=folder))
    return series


def config_with_routes(number: int) -> dict[str, object]:
    config: dict[str, object] = yaml.safe_load((ROOT / "config" / "llm.yaml").read_text())
    return {**config, "routes": {f"route-{n}": {"chain": ["gpt-4o", "gpt-4o-mini"]} for n in range(1, number + 1)}}


def keys(run: Run) -> list[Series]:
    """A request with one key of many in the database, and requests each with another key."""
    one = Series(f"API keys in the database, one of them used ({run.platform.name})", "keys", each=False)
    all_of_them = Series(f"API keys, all used in turn ({run.platform.name})", "keys", each=False)
    with run.started() as (endpoint, port, folder), whole_answers(port, folder=folder):
        first = first_key(endpoint)
        known = [first]
        for number in KEYS:
            if missing := number - len(known):
                known += add_keys(folder / "platform", like=first, count=missing)
            (file := folder / "keys").write_text("\n".join(known))
            with_one = replace(endpoint, headers={"authorization": f"Bearer {first}"})
            check_whole(with_one)
            run.point(one, number, endpoint, partial(whole, with_one, folder=folder))
            run.point(all_of_them, number, endpoint, partial(whole, with_one, folder=folder, keys=file))
    return [one, all_of_them]


def slow_reader(run: Run) -> list[Series]:
    with run.started() as (endpoint, port, folder):
        with streams(port, chunks=20):
            Streams(8, 20).load(endpoint, seconds=2, folder=folder)
        with streams(port, chunks=CHUNKS, size=CHUNK):
            read_whole(endpoint)  # what is made for the first large stream stays for the others
            found = read_slowly(endpoint, seconds=SLOWLY)
    print(f"\n### A reader of one byte a second for {SLOWLY:.0f} s, of a stream of 100 MB ({run.platform.name})\n")
    columns = list(next(iter(found.values())))
    show(["process", *columns], [[name, *row.values()] for name, row in found.items()])
    return []


PARTS: dict[str, Callable[[Run], Series | list[Series]]] = {
    "connections": connections,
    "prompts": prompts,
    "streams": concurrent_streams,
    "routes": routes,
    "keys": keys,
    "slow-reader": slow_reader,
}


def measure(platform: Ours, *, parts: Sequence[str], seconds: float) -> dict[str, Figures]:
    """Prints as it goes; returns the figures by series and point."""
    run, found = Run(platform, seconds), list[Series]()
    for name in parts:
        try:
            series = PARTS[name](run)
        except (Missing, OSError) as error:
            print(f"\n### {name} ({platform.name}): {error}", flush=True)
            continue
        found += (new := series if isinstance(series, list) else [series])
        for one in new:
            one.show()
    if found:
        show_verdicts(found)
    return {f"{one.title}: {work}": figures for one in found for work, _, figures in one.points}
