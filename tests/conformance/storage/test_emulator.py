"""The emulator that the tests bring: it must never outlive them."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.azurite
def test_the_emulator_ends_with_the_process_that_started_it_even_when_that_is_killed():
    starter = subprocess.Popen(
        [sys.executable, "-m", "tests.support.azurite"],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    port = int(re.search(r"QueueEndpoint=http://127\.0\.0\.1:(\d+)/", starter.stdout.readline())[1])

    connections = [socket.create_connection(("127.0.0.1", port))]
    starter.send_signal(signal.SIGKILL)
    starter.communicate()

    # A connection is closed when the emulator ends, perhaps a moment before it stops to listen.
    while connections:
        with connections.pop() as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"GET /")  # half a request: nothing to answer
            connection.settimeout(30)
            assert connection.recv(1) == b""
        with contextlib.suppress(ConnectionRefusedError):
            connections.append(socket.create_connection(("127.0.0.1", port)))
