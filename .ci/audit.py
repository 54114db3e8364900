"""Asks the package index whether any version in uv.lock has a known vulnerability.

Exits with 0 where none has, 1 where one has or a package could not be looked up, and 75 where the index tells nothing.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
EXPORT = ["uv", "export", "--quiet", "--frozen", "--no-emit-workspace", "--no-header", "--no-annotate"]
AUDIT = ["pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json"]
UNREACHABLE = re.compile(r"requests\.exceptions\.|Could not connect|not redirecting|ServiceError")
"""How pip-audit ends where nobody answers it."""
NOT_AUDITED = 75


def judge(report: str, *, complaint: str) -> tuple[int, str]:
    """Exit code and words for what pip-audit wrote to its standard output and error."""
    try:
        packages = json.loads(report)["dependencies"]
    except ValueError:
        last = complaint.strip().rpartition("\n")[2]
        return (NOT_AUDITED if UNREACHABLE.search(last) else 1), f"NOT AUDITED: {last}"
    weak = [f"{each['name']} {each['version']}: {_told(found)}" for each in packages for found in each.get("vulns", ())]
    unknown = [each["skip_reason"] for each in packages if "skip_reason" in each]
    if packages and len(unknown) == len(packages):  # a mirror that has files and no advisories answers so
        return NOT_AUDITED, f"NOT AUDITED: the index knows none of {len(packages)} packages ({unknown[0]})"
    if weak or unknown or not packages:
        return 1, "\n".join([*weak, *unknown]) or "NOT AUDITED: there are no packages"
    return 0, f"{len(packages)} packages, none with a known vulnerability"


def _told(vulnerability: dict[str, object]) -> str:
    names = [vulnerability["id"], *vulnerability["aliases"]]  # type: ignore[misc] # JSON of pip-audit
    return f"{', '.join(map(str, names))}, mended in {vulnerability['fix_versions'] or 'no release'}"


def main() -> None:
    locked = subprocess.run([BIN / EXPORT[0], *EXPORT[1:]], check=True, capture_output=True, text=True).stdout  # noqa: S603 # our own words
    asked = [BIN / AUDIT[0], *AUDIT[1:], "--requirement", "/dev/stdin"]
    audited = subprocess.run(asked, input=locked, check=False, capture_output=True, text=True)  # noqa: S603 # as above
    code, words = judge(audited.stdout, complaint=audited.stderr)
    print(words)  # noqa: T201 # for a person
    sys.exit(code)


if __name__ == "__main__":
    main()
