"""Storage in Azure Storage, or in Azurite, its emulator.

The official asynchronous clients give credentials and signing, and carry out the rare calls (creating and
deleting, blobs, leases). The calls of every episode, messages and rows, are requests of our own on the clients'
transport and credential policies, because the clients get in the way there: they lose the seventh digit of a
time, keep silent about a deleted row that was not there, and take 20 to 30 ms of CPU for a batch of 100 rows
(docs/adr/0003-azure-requests.md has the figures).

What both have in common:

* One HTTP session for the three services, without a look at the environment for each request.
* No retries: the runtime retries, because only it knows what a call that may have acted means.
* One API version, which every recent Azurite accepts.
* No logging of requests.
* Every error becomes one of the port's (:mod:`taskhub.storage.azure.errors`).

Start reading at :func:`open_azure`.
"""

from taskhub.storage.azure.account import open_azure
from taskhub.storage.azure.connection import emulator_is_listening

__all__ = ["emulator_is_listening", "open_azure"]
