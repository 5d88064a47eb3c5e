"""Blobs of an app in virtual time: what is new starts its function once, whoever looks and whatever dies."""

import json

from azure.functions import get_binding_registry

from taskhub.errors import TransientStorageError
from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.functions import Function
from taskhub.host.triggers.blob_paths import parse_pattern, wake_key_of
from taskhub.host.triggers.blobs import POISON_QUEUE, BlobFunction, BlobRuns, BlobScanner, work_queue_of
from taskhub.host.triggers.connections import Connection
from taskhub.host.triggers.queues import QueueListener, reading_of
from taskhub.host.triggers.singleton import HOSTS_CONTAINER, Singleton
from taskhub.runtime.poller import Wakeups
from taskhub.simulation.world import World
from taskhub.storage.interception import intercepted


def read(blob): ...


class BlobHost:
    """A process with one blob function, which notes what it was given."""

    def __init__(self, world, name="one", *, path="input/{name}", function=None, wrap=None):
        self.process = world.process(name, **({"wrap": wrap} if wrap else {}))
        self.runs = []
        self.tasks = []
        environment, storage = self.process.environment, self.process.storage
        self.connection = Connection.of(storage, environment)
        self.wakeups = Wakeups()
        bindings = read_bindings([{"name": "blob", "type": "blobTrigger", "path": path}])
        plan = plan_call(Function("read", read, bindings, None))
        self.function = BlobFunction(plan, parse_pattern(path), self.connection)
        converter = get_binding_registry().get("blobTrigger")

        async def run(plan, trigger, *, reason, details="", metadata=None, values=None):
            stream = converter.decode(trigger, trigger_metadata=metadata)
            self.runs.append((stream.name, stream.read(), values, reason))
            return function is None or await function(stream)

        self.scanner = BlobScanner(
            self.function, self.connection, environment, self.wakeups, host_id="host", scan_seconds=10.0
        )
        self.singleton = Singleton(
            self.connection,
            environment,
            name="locks/host/WebJobs.Internal.Blobs.Listener",
            holder=name,
            changed=self.scanner.look,
        )
        reading = reading_of(
            work_queue_of("host"), POISON_QUEUE, parallel=8, max_polling_seconds=10.0, max_dequeue_count=5
        )
        runs = BlobRuns({self.function.id: self.function}, run)
        listener = QueueListener(reading, runs, self.connection, environment, self.wakeups)
        for loop in (self.singleton.run(), self.scanner.listen(self.singleton), listener.listen()):
            self.tasks.append(self.process.spawn(loop, name="loop"))

    @property
    def names(self):
        return [name for name, _, _, _ in self.runs]


def play(main, **options):
    world = World(**options)
    return world.run(main(world))


async def put(world, **blobs):
    store = world.process("sender").storage.blobs
    await store.create_container("input")
    for name, content in blobs.items():
        await store.put_blob("input", name, content)


async def poison(world):
    queues = world.process("looker").storage.queues
    await queues.create_queue(POISON_QUEUE)
    return await queues.snapshot(POISON_QUEUE)


def test_blobs_that_are_there_at_the_first_start_come_and_new_ones_after():
    async def main(world):
        await put(world, old=b"1")
        host = BlobHost(world)
        await world.clock.sleep(1)
        await put(world, new=b"22")
        await world.clock.sleep(25)
        return host

    host = play(main)

    assert host.runs == [
        ("input/old", b"1", {"name": "old"}, "New blob detected(LogsAndContainerScan): input/old"),
        ("input/new", b"22", {"name": "new"}, "New blob detected(LogsAndContainerScan): input/new"),
    ]


def test_a_blob_comes_once_for_each_time_it_is_written():
    async def main(world):
        await put(world, same=b"1")
        host = BlobHost(world)
        await world.clock.sleep(100)
        await put(world, same=b"2")
        await world.clock.sleep(100)
        return host

    assert [content for _, content, _, _ in play(main).runs] == [b"1", b"2"]


def test_what_came_once_does_not_come_again_after_a_restart():
    async def main(world):
        await put(world, old=b"1")
        first = BlobHost(world)
        await world.clock.sleep(20)
        first.process.kill()
        await put(world, new=b"2")
        second = BlobHost(world, "two")
        await world.clock.sleep(100)
        return second

    assert play(main).names == ["input/new"]


def test_receipts_are_where_the_original_keeps_them():
    async def main(world):
        await put(world, old=b"1")
        BlobHost(world)
        await world.clock.sleep(20)
        blobs = world.process("looker").storage.blobs
        (item,) = await blobs.list_blobs("input", "")
        return item.etag, [each.name for each in await blobs.list_blobs(HOSTS_CONTAINER, "blobreceipts/")]

    etag, receipts = play(main)

    assert receipts == [f"blobreceipts/host/Host.Functions.read/{etag}/input/old"]


def test_a_name_that_leaves_no_room_for_a_receipt_has_one_all_the_same():
    long = "n" * 1000

    async def main(world):
        await put(world, **{long: b"1"})
        host = BlobHost(world)
        await world.clock.sleep(50)
        blobs = world.process("looker").storage.blobs
        return host, [each.name for each in await blobs.list_blobs(HOSTS_CONTAINER, "blobreceipts/")]

    host, receipts = play(main)

    assert host.names == [f"input/{long}"]
    assert len(receipts[0]) <= 1024


def test_only_what_matches_comes():
    async def main(world):
        await put(world, **{"a.txt": b"1", "a.pdf": b"2", "b.txt": b"3"})
        host = BlobHost(world, path="input/{name}.txt")
        await world.clock.sleep(50)
        return host

    assert sorted(play(main).names) == ["input/a.txt", "input/b.txt"]


def test_a_container_that_is_made_later_is_found():
    async def main(world):
        host = BlobHost(world)
        await world.clock.sleep(50)
        await put(world, first=b"1")
        await world.clock.sleep(25)
        return host

    assert play(main).names == ["input/first"]


def test_what_this_process_writes_itself_comes_at_once():
    async def main(world):
        host = BlobHost(world)
        await world.clock.sleep(15)
        await put(world, quick=b"1")
        host.wakeups.wake(wake_key_of("input"))
        await world.clock.sleep(0.1)
        return host

    assert play(main).names == ["input/quick"]


def test_a_function_that_fails_is_tried_five_times_and_then_the_blob_is_laid_aside():
    async def main(world):
        await put(world, bad=b"1", good=b"2")

        async def picky(stream):
            return stream.name == "input/good"

        host = BlobHost(world, function=picky)
        await world.clock.sleep(60)
        return host, await poison(world)

    host, laid_aside = play(main)

    assert host.names.count("input/bad") == 5
    assert host.names.count("input/good") == 1
    assert len(laid_aside) == 1


def test_the_poison_message_names_function_and_blob():
    import base64

    async def main(world):
        await put(world, bad=b"1")

        async def fail(stream):
            return False

        BlobHost(world, function=fail)
        await world.clock.sleep(60)
        return await poison(world)

    (message,) = play(main)
    record = json.loads(base64.b64decode(message.text))

    assert (record["FunctionId"], record["ContainerName"], record["BlobName"]) == (
        "Host.Functions.read",
        "input",
        "bad",
    )
    assert record["Type"] == "BlobTrigger"


def test_a_blob_that_is_gone_or_another_by_its_turn_is_passed_over():
    async def main(world):
        await put(world, first=b"1", second=b"2", third=b"3")
        store = world.process("other").storage.blobs

        async def change_the_others(stream):
            if stream.name == "input/first":
                await store.delete_blob("input", "second")
                await store.put_blob("input", "third", b"3 again")
            await world.clock.sleep(1)
            return True

        host = BlobHost(world, function=change_the_others)
        await world.clock.sleep(60)
        return host

    runs = play(main).runs

    contents = {name: [content for each, content, _, _ in runs if each == name] for name, _, _, _ in runs}
    assert contents["input/first"] == [b"1"]
    assert contents["input/third"][-1] == b"3 again"
    assert contents["input/third"].count(b"3 again") == 1


def test_messages_for_functions_that_are_gone_are_dropped(caplog):
    async def main(world):
        queues = world.process("before").storage.queues
        await queues.create_queue(work_queue_of("host"))
        await queues.put(work_queue_of("host"), "eyJGdW5jdGlvbklkIjogIkhvc3QuRnVuY3Rpb25zLm9sZCJ9")
        await queues.put(work_queue_of("host"), "bm9uc2Vuc2U=")
        host = BlobHost(world)
        await world.clock.sleep(10)
        return host, await queues.snapshot(work_queue_of("host"))

    host, left = play(main)

    assert (host.runs, left) == ([], [])
    assert "asks for a function that is not there" in caplog.text


def test_of_several_hosts_one_looks_and_each_blob_comes_once():
    async def main(world):
        await put(world, **{f"b{number:02}": b"1" for number in range(40)})

        async def slow(stream):
            await world.clock.sleep(1)
            return True

        hosts = [BlobHost(world, f"host {number}", function=slow) for number in range(3)]
        await world.clock.sleep(120)
        return hosts

    hosts = play(main, shuffled=True, seed=5)

    names = [name for host in hosts for name in host.names]
    assert len(names) == len(set(names)) == 40
    assert sum(bool(host.runs) for host in hosts) > 1, "all take part in the work"


def test_when_the_one_that_looks_dies_another_goes_on():
    async def main(world):
        await put(world, first=b"1")
        one = BlobHost(world, "one")
        await world.clock.sleep(5)
        two = BlobHost(world, "two")
        await world.clock.sleep(20)
        one.process.kill()
        await put(world, second=b"2")
        await world.clock.sleep(60)
        return one, two

    one, two = play(main)

    assert (one.names, two.names) == (["input/first"], ["input/second"])


def test_a_crash_between_message_and_receipt_makes_a_function_run_twice_and_never_not_at_all():
    # The process dies at every call to the store of its first seconds, in turn.
    def killed_at(number):
        async def main(world):
            await put(world, only=b"1")
            calls = {"left": number}

            def wrap(storage):
                async def around(call, act):
                    result = await act()
                    calls["left"] -= 1
                    if calls["left"] == 0:
                        first.process.kill()
                    return result

                return intercepted(storage, around)

            first = BlobHost(world, "first", wrap=wrap)
            await world.clock.sleep(30)
            first.process.kill()
            second = BlobHost(world, "second")
            await world.clock.sleep(200)
            return len(first.runs), len(second.runs)

        return play(main)

    counts = [killed_at(number) for number in range(1, 25)]

    assert all(first + second >= 1 for first, second in counts)
    assert {first + second for first, second in counts} <= {1, 2}
    assert (0, 1) in counts
    assert (1, 0) in counts


def test_trouble_with_the_storage_is_waited_out(caplog):
    is_broken = {"now": True}

    def wrap(storage):
        async def around(call, act):
            if is_broken["now"]:
                raise TransientStorageError("away")
            return await act()

        return intercepted(storage, around)

    async def main(world):
        await put(world, patient=b"1")
        host = BlobHost(world, wrap=wrap)
        await world.clock.sleep(200)
        is_broken["now"] = False
        await world.clock.sleep(60)
        return host

    assert play(main).names == ["input/patient"]
    told = [record.service for record in caplog.records if "does not answer" in record.getMessage()]
    assert told == ["blob"], "the queue joins its outage"
