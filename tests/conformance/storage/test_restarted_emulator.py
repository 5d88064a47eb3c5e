"""The emulator, stopped in order while clients are connected, keeps what it has acknowledged: soak runs rely on it."""

import pytest

from taskhub.errors import TransientStorageError
from taskhub.storage.azure import open_azure
from tests.support.azurite import start_azurite

pytestmark = pytest.mark.azurite


async def test_what_was_acknowledged_is_there_after_a_stop_in_order(tmp_path):
    emulator = start_azurite(tmp_path)
    ports = (emulator.blob_port, emulator.queue_port, emulator.table_port)
    storage = await open_azure(connection_string=emulator.connection_string)
    try:
        await storage.queues.create_queue("kept")
        await storage.queues.put("kept", "a message")
        emulator.stop()
        with pytest.raises(TransientStorageError):
            await storage.queues.count("kept")
        emulator = start_azurite(tmp_path, ports=ports)

        (message,) = await storage.queues.get("kept", limit=32, invisible_for=30)
    finally:
        await storage.aclose()
        emulator.end()

    assert message.text == "a message"
