"""Ports for servers that tests start.

Below the range from which Linux gives outgoing connections theirs: while a server is down, a client that retries could
be given the server's own port and connect to itself.
"""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
