"""The process of one trial: ``python -m fastrnn.cli.trials.child``, and then the arguments of ``fastrnn``.

Standard input is a pipe that the sweep holds open. Where it ends, the sweep has been killed, and the trial
saves and ends as after SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from fastrnn.cli import main


def _stop_with_the_sweep() -> None:
    while os.read(0, 1):  # not `sys.stdin`, whose lock a thread would hold when Python ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_the_sweep, daemon=True).start()
    main(sys.argv[1:], prog_name="fastrnn")
