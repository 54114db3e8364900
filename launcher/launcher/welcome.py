"""What a person needs next, once the platform answers."""

import shlex

import llm_service.settings
from auth_service.settings import Settings as AuthSettings
from launcher.settings import Settings
from llm_service.config_file import load_config

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 # compared with, not bound


def address(settings: Settings) -> str:
    """Where the gateway is reached from this machine."""
    host = "localhost" if settings.host in (*EVERYWHERE, "127.0.0.1") else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def next_steps(settings: Settings) -> str:
    return f"""
SynapScale is ready: {address(settings)}

  API docs   {address(settings)}/docs
  Log in     {_log_in(settings)}
  Models     {_models(settings)}
  Stop       Ctrl-C, or SIGTERM
"""


def _log_in(settings: Settings) -> str:
    auth = AuthSettings()
    generated = settings.data_dir / "admin_password"
    if not generated.exists():  # only the first start makes an admin, and only then is the variable looked at
        return f"as {auth.admin_username}, with what SYNAPSCALE_ADMIN_PASSWORD was at the first start"
    body = (
        f'{{\\"username\\": \\"{auth.admin_username}\\", \\"password\\": \\"$(cat {shlex.quote(str(generated))})\\"}}'
    )
    call = f'curl -s -X POST {address(settings)}/api/auth/token -H "Content-Type: application/json" -d "{body}"'
    return f"as {auth.admin_username}; the password is in {generated}\n\n    {call}\n"


def _models(settings: Settings) -> str:
    llm = llm_service.settings.Settings()
    active = load_config(llm.llm_config, variables=llm_service.settings.environment()).active
    if active:
        return "from " + ", ".join(active)
    if settings.env == "development":
        return "no key is configured, so the echo provider answers; OPENAI_API_KEY in .env would change that"
    return "no key is configured: set one such as OPENAI_API_KEY"
