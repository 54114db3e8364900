"""Replicas of chat-service as processes that are there in a moment: forks of one that has everything but a life.

Reads ports from standard input, a line each; answers each with the process id of the replica that listens there.
"""

import os
import signal
import sys

from chat_service.main import create_app
from chat_service.settings import Settings
from shared.server import server


def main() -> None:
    app = create_app(Settings())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for inherited in (0, 1, 2):
                os.dup2(null, inherited)
            server(app, host="127.0.0.1", port=int(line)).run()
            os._exit(0)
        print(child, flush=True)  # it is the answer


if __name__ == "__main__":
    main()
