"""Blob functions: containers are looked at, and what is new in them goes through a queue to the functions.

::

    scan ──new blob──► azure-webjobs-blobtrigger-<host> ──message──► function
      └──────────────► receipt, by ETag

The scan is done by the one host that holds a lease; every host takes messages. A blob is new when there is no receipt
for its ETag, so one that is written again comes again, and at the first start all that is there does. The receipt is
written after the message: a crash in between makes a function run twice, never not at all. A function that fails is
tried again as with any queue; after five times the message goes to ``webjobs-blobtrigger-poison``.

Source: Azure WebJobs SDK storage extension, BlobListener, BlobQueueTriggerExecutor, BlobReceiptManager. Differs in
that the container is all that is looked at (no logs), and in that a receipt counts by being there.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

from taskhub.errors import BlobNotFound, QueueNotFound, StorageError
from taskhub.host.extension_types import blob_client_datum
from taskhub.host.triggers.blob_paths import MAX_BLOB_NAME, wake_key_of
from taskhub.host.triggers.queue_texts import details_of, encode_text
from taskhub.host.triggers.singleton import HOSTS_CONTAINER
from taskhub.runtime.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.triggers.blob_paths import BlobPattern
    from taskhub.host.triggers.connections import Connection
    from taskhub.host.triggers.runs import Run
    from taskhub.host.triggers.singleton import Singleton
    from taskhub.runtime.environment import Environment
    from taskhub.runtime.poller import Wakeups
    from taskhub.wiring import BlobItem, QueueMessage

POISON_QUEUE = "webjobs-blobtrigger-poison"
SCAN_LOCK = "WebJobs.Internal.Blobs.Listener"

logger = logging.getLogger(__name__)


def work_queue_of(host_id: str) -> str:
    """Return the queue of a host's blobs that wait for their functions."""
    return f"azure-webjobs-blobtrigger-{host_id}"


@dataclass(frozen=True, slots=True)
class BlobFunction:
    """A function that blobs start."""

    plan: CallPlan
    pattern: BlobPattern
    connection: Connection
    """Where its blobs are."""

    @property
    def id(self) -> str:
        """The original's name for the function."""
        return f"Host.Functions.{self.plan.function.name}"

    async def data_of(self, container: str, name: str) -> Datum:
        """Return what the function gets of a blob: its content, or what a client is made of.

        Raises:
            BlobNotFound: there is no such blob; a client is made all the same.
        """
        trigger = self.plan.function.trigger
        if self.plan.inputs[trigger.name].is_client:
            return blob_client_datum(trigger, container, name)
        return Datum(await self.connection.storage.blobs.get_blob(container, name), "bytes")


class BlobScanner:
    """Looks for the new blobs of one function.

    Args:
        function: whose blobs.
        host: where receipts and the queue are.
        environment: of the process.
        wakeups: who is told of what this process writes.
        host_id: of this host.
        scan_seconds: between two looks.
    """

    def __init__(
        self,
        function: BlobFunction,
        host: Connection,
        environment: Environment,
        wakeups: Wakeups,
        *,
        host_id: str,
        scan_seconds: float,
    ) -> None:
        self._function = function
        self._host = host
        self._wakeups = wakeups
        self._queue = work_queue_of(host_id)
        self._receipts = f"blobreceipts/{host_id}/{function.id}"
        self._poller = Poller(environment, floor_seconds=scan_seconds, ceiling_seconds=scan_seconds)
        self._noted: set[str] = set()
        """Names of the receipts that there are."""
        self._is_stopping = False

    def __repr__(self) -> str:
        return f"<BlobScanner of {self._function.id}, {len(self._noted)} receipts>"

    def look(self) -> None:
        """Look again at once: a blob was written, or the lease has changed."""
        self._poller.wake()

    def stop(self) -> None:
        """Look no more."""
        self._is_stopping = True
        self._poller.wake()

    async def listen(self, singleton: Singleton) -> None:
        """Look for new blobs while the lease is held, until told to stop."""
        key = wake_key_of(self._function.pattern.container)
        self._wakeups.register(key, self._poller)
        has_read_receipts = False
        try:
            while not self._is_stopping:
                if not singleton.is_held:
                    has_read_receipts = False  # another host writes them meanwhile
                else:
                    try:
                        if not has_read_receipts:
                            self._noted = await self._read_receipts()
                            has_read_receipts = True
                        await self.scan()
                    except StorageError as error:
                        self._function.connection.health.failed(error)
                self._poller.found(0, limit=1)
                await self._poller.wait()
        finally:
            self._wakeups.forget(key, self._poller)

    async def scan(self) -> None:
        """Send what is new to the functions."""
        pattern = self._function.pattern
        found = await self._function.connection.storage.blobs.list_blobs(pattern.container, pattern.prefix)
        receipts = set()
        for item in found:
            if pattern.match(item.name) is None:
                continue
            receipt = self._receipt_of(item)
            receipts.add(receipt)
            if receipt not in self._noted:
                await self._send(item, receipt)
                self._noted.add(receipt)
        # What is not there any more comes under another ETag, if at all.
        self._noted &= receipts

    async def _read_receipts(self) -> set[str]:
        items = await self._host.storage.blobs.list_blobs(HOSTS_CONTAINER, f"{self._receipts}/")
        return {item.name for item in items}

    async def _send(self, item: BlobItem, receipt: str) -> None:
        message = {
            "Type": "BlobTrigger",
            "FunctionId": self._function.id,
            "BlobType": "BlockBlob",
            "ContainerName": self._function.pattern.container,
            "BlobName": item.name,
            "ETag": item.etag,
        }
        text = encode_text(json.dumps(message, separators=(",", ":")), is_base64=True)
        storage = self._host.storage
        try:
            await storage.queues.put(self._queue, text)
        except QueueNotFound:
            await storage.queues.create_queue(self._queue)
            await storage.queues.put(self._queue, text)
        self._wakeups.wake(self._queue)
        try:
            await storage.blobs.put_blob(HOSTS_CONTAINER, receipt, b"")
        except BlobNotFound:
            await storage.blobs.create_container(HOSTS_CONTAINER)
            await storage.blobs.put_blob(HOSTS_CONTAINER, receipt, b"")

    def _receipt_of(self, item: BlobItem) -> str:
        rest = f"{item.etag}/{self._function.pattern.container}/{item.name}"
        name = f"{self._receipts}/{rest}"
        # No blob can have a longer name; what it hides is only for people to read.
        return name if len(name) <= MAX_BLOB_NAME else f"{self._receipts}/{hashlib.sha256(rest.encode()).hexdigest()}"


class BlobRuns:
    """Runs the functions that messages of the scanners ask for; see :class:`taskhub.host.triggers.queues.Handle`.

    Args:
        functions: those of the app.
        run: runs one.
    """

    def __init__(self, functions: Mapping[str, BlobFunction], run: Run) -> None:
        self._functions = functions
        self._run = run

    async def __call__(self, message: QueueMessage, content: str | bytes) -> bool:
        """Run the function for a blob, unless the blob is gone or is another one by now."""
        wanted = _parse(content)
        function = self._functions.get(str(wanted.get("FunctionId")))
        container, name = wanted.get("ContainerName"), wanted.get("BlobName")
        if function is None or not isinstance(container, str) or not isinstance(name, str):
            logger.warning("message %s asks for a function that is not there, and is dropped: %s", message.id, wanted)
            return True
        blobs = function.connection.storage.blobs
        item = await blobs.blob_item(container, name)
        if item is None or item.etag != wanted.get("ETag"):
            # Written anew it comes anew.
            logger.info("blob %s/%s is not what it was, and is passed over", container, name)
            return True
        try:
            data = await function.data_of(container, name)
        except BlobNotFound:
            return True
        reason = f"New blob detected(LogsAndContainerScan): {container}/{name}"
        return await self.run_for(function, container, item, data, reason=reason, details=details_of(message))

    async def run_for(
        self, function: BlobFunction, container: str, item: BlobItem, data: Datum, *, reason: str, details: str = ""
    ) -> bool:
        """Run a function for a blob; return whether it succeeded."""
        url = function.connection.storage.blobs.url_of(container, item.name)
        properties = {"Length": item.size, "ContentLength": item.size, "ETag": item.etag}
        return await self._run(
            function.plan,
            data,
            reason=reason,
            details=details,
            metadata={
                "BlobTrigger": Datum(f"{container}/{item.name}", "string"),
                "Uri": Datum(json.dumps(url), "json"),
                "Properties": Datum(json.dumps(properties), "json"),
                "Metadata": Datum(json.dumps(dict(item.metadata)), "json"),
            },
            values=function.pattern.match(item.name),
        )


def _parse(content: str | bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
