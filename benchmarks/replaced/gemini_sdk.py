"""google-generativeai beside google-genai: what each says of itself, and what it costs to have.

python -m venv /tmp/old && /tmp/old/bin/pip install google-generativeai
python -m venv /tmp/new && /tmp/new/bin/pip install google-genai
/tmp/old/bin/python gemini_sdk.py; /tmp/new/bin/python gemini_sdk.py
"""

import importlib
import time
import warnings
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from sysconfig import get_path

for package, module in (("google-generativeai", "google.generativeai"), ("google-genai", "google.genai")):
    try:
        found = version(package)
    except PackageNotFoundError:
        continue
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        importlib.import_module(module)
    took = time.perf_counter() - started
    size = sum(file.stat().st_size for file in Path(get_path("purelib")).rglob("*") if file.is_file())
    packages = [each.metadata["Name"] for each in distributions() if each.metadata["Name"] not in ("pip", "setuptools")]
    print(f"{package} {found}: import {took:.1f} s, {len(packages)} packages, {size / 2**20:.0f} MB")
    for warning in told:
        if "support" in str(warning.message):
            print("  it says: " + " ".join(str(warning.message).split())[:200])
