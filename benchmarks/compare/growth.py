"""Whether a cost grows faster than the work it is for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.compare.scenarios import Figures
from benchmarks.compare.tables import show

SLACK = 0.15
"""By so much an exponent may exceed 1 and still be taken for noise."""


@dataclass
class Series:
    """Points of one kind of work. `each` says that a cost is for one unit of the work, not for the work as a whole."""

    title: str
    work: str
    each: bool
    points: list[tuple[int, float, Figures]] = field(default_factory=list)

    def add(self, work: int, cost: float, figures: Figures) -> None:
        self.points.append((work, cost, figures))

    def exponents(self) -> list[float]:
        """Of the total cost between one point and the next: 0 is the same cost, 1 is linear, 2 is square."""
        found = []
        for (less, cheap, _), (more, dear, _) in zip(self.points, self.points[1:], strict=False):
            slope = math.log(max(dear, 1e-9) / max(cheap, 1e-9)) / math.log(more / less)
            found.append(slope + 1 if self.each else slope)
        return found

    def show(self) -> None:
        columns = list(dict.fromkeys(name for _, _, figures in self.points for name in figures))
        steps = ["", *(f"{one:.2f}" for one in self.exponents())]
        print(f"\n### {self.title}\n")
        rows = [
            [f"{work:,}", *(figures.get(name, "") for name in columns), step]
            for (work, _, figures), step in zip(self.points, steps, strict=True)
        ]
        show([self.work, *columns, "exponent"], rows)
        print(f"\n{self.verdict()}")

    def verdict(self) -> str:
        steep = [
            f"{less[0]:,} → {more[0]:,} (exponent {exponent:.2f})"
            for less, more, exponent in zip(self.points, self.points[1:], self.exponents(), strict=False)
            if exponent > 1 + SLACK
        ]
        return f"**More than linear: {', '.join(steep)}.**" if steep else "Nowhere more than linear."


def show_verdicts(series: Sequence[Series]) -> None:
    print("\n### In short\n")
    for one in series:
        print(f"- {one.title}: {one.verdict()}")
