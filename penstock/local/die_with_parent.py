"""Run a module that ends when its parent does, however the parent died.

`python -m penstock.local.die_with_parent FD module arguments…`: FD is the reading end of a pipe whose writing end only
the parent holds. The kernel closes that end also after `kill -9`; the end of the pipe is the signal to leave.
"""

import os
import runpy
import signal
import sys
import threading
import time

SECONDS_TO_LEAVE = 5


def main() -> None:
    leash, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_leave_with_the_parent, args=(leash,), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _leave_with_the_parent(leash: int) -> None:
    os.read(leash, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_LEAVE)
    os._exit(1)


if __name__ == "__main__":
    main()
