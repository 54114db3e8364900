"""Other gateways, each installed on first use in this user's cache, of one version, and asked as its docs say."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.compare.endpoint import Endpoint, Gateway
from benchmarks.compare.processes import Group, end
from benchmarks.compare.providers import nginx
from benchmarks.compare.tools import CACHE, Missing, free_port, need, python_environment, run, wait_for_port

HOST = "127.0.0.1"


@contextmanager
def _child(
    command: list[str], *, port: int, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[dict[str, Group]]:
    """Listens when the block begins, and is ended with all that it started."""
    log = folder / "log"
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251 # for the child
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 # of our own making
            command, cwd=folder, env={**known, **(environment or {})}, stdout=output, stderr=output
        )
    try:
        wait_for_port(port, process, log=log)
        yield {"gateway": Group("gateway", psutil.Process(process.pid))}
    finally:
        end(process)


class Nginx:
    """No gateway, but the least that a proxy can cost."""

    name = "nginx"

    def __init__(self) -> None:
        self.version = "?"

    def install(self, cache: Path) -> None:  # noqa: ARG002 # the seam's signature
        need("nginx")
        said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr  # noqa: S607 # whichever there is
        self.version = said.strip().rpartition("/")[2]

    @contextmanager
    def running(self, provider: str, directory: Path) -> Iterator[Endpoint]:
        port, upstream = free_port(), provider.split("/")[2]
        servers = f"""upstream provider {{ server {upstream}; keepalive 512; }}
          server {{ listen {HOST}:{port}; location / {{ proxy_http_version 1.1; proxy_buffering off;
            proxy_set_header Connection ""; proxy_pass http://provider; }} }}"""
        with nginx(servers, port=port, folder=directory) as process:
            groups = {"gateway": Group("gateway", psutil.Process(process.pid))}
            yield Endpoint(f"http://{HOST}:{port}/v1/chat/completions", groups=groups)


class TensorZero:
    """Its gateway as the Python package carries it, without observability: no database is asked."""

    name = "tensorzero"
    version = "2026.6.0"

    CONFIG = """
[gateway]
observability.enabled = false
[models.gpt-4o]
routing = ["mock"]
[models.gpt-4o.providers.mock]
type = "openai"
model_name = "gpt-4o"
api_base = "{provider}/"
api_key_location = "none"
"""
    START = """
import asyncio, pathlib
from tensorzero import tensorzero
async def main():
    gateway = tensorzero._start_http_gateway(
        config_file="tensorzero.toml", clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
    )
    pathlib.Path("address.part").write_text(gateway.base_url)
    pathlib.Path("address.part").rename("address")
    await asyncio.Event().wait()
asyncio.run(main())
"""

    def install(self, cache: Path) -> None:
        python_environment(cache / self.name, f"tensorzero=={self.version}")

    @contextmanager
    def running(self, provider: str, directory: Path) -> Iterator[Endpoint]:
        (directory / "tensorzero.toml").write_text(self.CONFIG.format(provider=provider))
        (directory / "start.py").write_text(self.START)
        python = CACHE / self.name / "bin" / "python"
        address = directory / "address"
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([str(python), "start.py"], cwd=directory, stdout=log, stderr=log)  # noqa: S603 # of our own making
        try:
            base = _when_written(address, process)
            groups = {"gateway": Group("gateway", psutil.Process(process.pid))}
            yield Endpoint(
                f"{base.rstrip('/')}/chat/completions", groups=groups, model="tensorzero::model_name::gpt-4o"
            )
        finally:
            end(process)


def _when_written(file: Path, process: subprocess.Popen[bytes]) -> str:
    """It chooses its port by itself. Raises Missing."""
    for _ in range(600):
        if file.exists():
            return file.read_text()
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise Missing(f"tensorzero does not start. {(file.parent / 'log').read_text()[-500:]}")


class Portkey:
    """Its open gateway on Node, told the provider by headers."""

    name = "portkey"
    version = "1.15.2"
    START = "node_modules/@portkey-ai/gateway/build/start-server.js"

    def install(self, cache: Path) -> None:
        need("node", "npm")
        folder = cache / self.name
        if (folder / self.START).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        run(
            [
                "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                folder,
                f"@portkey-ai/gateway@{self.version}",
            ]
        )

    @contextmanager
    def running(self, provider: str, directory: Path) -> Iterator[Endpoint]:
        port = free_port()
        (directory / "node_modules").symlink_to(CACHE / self.name / "node_modules")
        with _child(["node", self.START, f"--port={port}", "--headless"], port=port, folder=directory) as groups:
            headers = {
                "authorization": "Bearer sk-nobody",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": provider,
            }
            yield Endpoint(f"http://{HOST}:{port}/v1/chat/completions", groups=groups, headers=headers)


class LiteLLM:
    """Its proxy with one worker and a master key; no database."""

    name = "litellm"
    version = "1.106.12"
    KEY = "sk-benchmark"
    CONFIG = """
model_list:
- model_name: gpt-4o
  litellm_params: {{model: openai/gpt-4o, api_key: sk-nobody, api_base: '{provider}'}}
litellm_settings: {{telemetry: false}}
general_settings: {{master_key: {key}}}
"""

    def install(self, cache: Path) -> None:
        python_environment(cache / self.name, f"litellm[proxy]=={self.version}")

    @contextmanager
    def running(self, provider: str, directory: Path) -> Iterator[Endpoint]:
        port = free_port()
        config = directory / "config.yaml"
        config.write_text(self.CONFIG.format(provider=provider, key=self.KEY))
        command = [str(CACHE / self.name / "bin" / "litellm"), "--config", str(config), "--port", str(port)]
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with _child([*command, "--num_workers", "1"], port=port, folder=directory, environment=quiet) as groups:
            headers = {"authorization": f"Bearer {self.KEY}"}
            yield Endpoint(f"http://{HOST}:{port}/v1/chat/completions", groups=groups, headers=headers)


PEERS: dict[str, Gateway] = {peer.name: peer for peer in (Nginx(), TensorZero(), Portkey(), LiteLLM())}
