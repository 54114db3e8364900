"""`synapscale up`: PostgreSQL, and every service in this process."""

import os

from launcher.claim import claimed
from launcher.environment import completed, database
from launcher.ports import listen
from launcher.settings import Settings
from launcher.signals import raise_when_asked_to_stop
from launcher.welcome import next_steps


def serve(settings: Settings) -> None:
    """Ends with KeyboardInterrupt when the platform was asked to stop, and has. Raises CannotStart."""
    raise_when_asked_to_stop()
    with (
        claimed(settings.data_dir, owner=os.getpid()),
        listen(settings.host, settings.port) as listener,
        database(settings) as database_url,
    ):
        # These imports take a second or two, in which PostgreSQL starts.
        from launcher.migrating import migrate
        from launcher.preflight import check
        from launcher.standalone import create_platform
        from shared.logs import configure_logs
        from shared.server import server

        told = completed(settings, database_url=database_url())
        configure_logs(level=settings.log_level, style=told["log_format"])
        migrate(told["database_url"])
        check(told)
        serving = server(
            create_platform(**told),
            host=settings.host,
            port=settings.port,
            on_ready=lambda: print(next_steps(settings), flush=True),
        )
        serving.run(sockets=[listener])
