"""Ends LocalStack with the process that started it, however that one ended: its standard input is a pipe that nobody writes to."""

import os
import signal
import sys
import threading
import time

from localstack.runtime import hooks

GRACE_SECONDS = 15


@hooks.on_infra_start(should_load=lambda: os.environ.get("BUCARDO_END_WITH_STDIN") == "1")
def end_with_parent() -> None:
    threading.Thread(target=_wait_and_end, name="end-with-parent", daemon=True).start()


def _wait_and_end() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
