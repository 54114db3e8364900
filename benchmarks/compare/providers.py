"""The provider that stands behind every gateway: nginx for whole answers, a process of ours for streams."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.compare.processes import end
from benchmarks.compare.tools import ROOT, wait_for_port

ANSWER = {
    "id": "chatcmpl-mock",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Brasilia is the capital of Brazil. It was founded in 1960 and designed by Oscar Niemeyer "
                "and Lucio Costa.",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 25,
        "total_tokens": 44,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}
TEXT = "Brasilia is the capital of Brazil."
"""How every whole answer begins."""
MODELS = {
    "object": "list",
    "data": [{"id": "gpt-4o", "object": "model", "created": 1_700_000_000, "owned_by": "nobody"}],
}

NGINX = """
worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 2m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {servers}
}}
"""


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@contextmanager
def nginx(servers: str, *, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, servers=servers))
    command = ["nginx", "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command)  # noqa: S603 # of our own making
    try:
        wait_for_port(port, process)
        yield process
    finally:
        end(process)


@contextmanager
def whole_answers(port: int, *, folder: Path) -> Iterator[None]:
    """Every POST gets ANSWER at once, from the cheapest server there is."""
    servers = f"""server {{ listen 127.0.0.1:{port}; default_type application/json;
      location = /v1/models {{ return 200 '{compact(MODELS)}'; }}
      location / {{ return 200 '{compact(ANSWER)}'; }} }}"""
    with nginx(servers, port=port, folder=folder):
        yield


@contextmanager
def streams(port: int, *, chunks: int, interval: float = 0.0, size: int = 0) -> Iterator[None]:
    """Streams of so many chunks, so many seconds apart; `size` is the bytes of text of each, or its time of sending."""
    given = [str(port), str(chunks), str(interval), str(size)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.compare.mock_provider", *given], cwd=ROOT)  # noqa: S603 # of our own
    try:
        wait_for_port(port, process)
        yield
    finally:
        end(process)
