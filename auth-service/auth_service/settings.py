"""What auth-service reads from the environment."""

from pydantic import Field

from shared.settings import ServiceSettings, is_weak

SHORTEST_ADMIN_PASSWORD = 12


class Settings(ServiceSettings):
    """auth-service's own, beside what every service reads."""

    admin_username: str = Field("admin", min_length=1, max_length=128, description="made at the first start")
    admin_password: str | None = Field(
        None, max_length=256, repr=False, description="of that user; development generates one"
    )
    session_idle_days: float = Field(14, gt=0, le=3650, description="a login that is not used for so long ends")
    session_max_days: float = Field(90, gt=0, le=3650, description="a login ends after so long, used or not")

    def weaknesses(self) -> list[str]:
        problems = super().weaknesses()
        if is_weak(self.admin_password, shortest=SHORTEST_ADMIN_PASSWORD):
            problems.append(
                f"SYNAPSCALE_ADMIN_PASSWORD is missing, default or shorter than {SHORTEST_ADMIN_PASSWORD} characters"
            )
        return problems
