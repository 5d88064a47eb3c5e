"""The emulator that the tests bring: it must never outlive them."""

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

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /")  # half a request: the emulator keeps the connection while it lives
        starter.send_signal(signal.SIGKILL)
        starter.communicate()
        connection.settimeout(30)
        try:
            rest = connection.recv(1)
        except ConnectionResetError:
            rest = b""

    assert rest == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
