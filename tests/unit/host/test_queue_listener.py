"""A queue of an app in virtual time: what becomes of messages, whatever their functions and the host do."""

import asyncio
from dataclasses import replace

import pytest

from taskhub.errors import StorageRefused, TransientStorageError
from taskhub.host.triggers.connections import Connection
from taskhub.host.triggers.queue_texts import encode_text
from taskhub.host.triggers.queues import HIDE_SECONDS, QueueListener, QueueReading
from taskhub.runtime.poller import Wakeups
from taskhub.simulation.process import MemoryReceipts
from taskhub.simulation.world import World
from taskhub.storage.interception import intercepted

READING = QueueReading(
    "orders",
    "orders-poison",
    batch_size=4,
    new_batch_threshold=2,
    max_polling_seconds=60.0,
    visibility_seconds=0,
    max_dequeue_count=3,
    is_base64=True,
)


class QueueHost:
    """A process that reads the queue; its function notes when it ran and for what."""

    def __init__(self, world, name="one", *, function=None, wrap=None, kept=None, **reading):
        self.world = world
        self.process = world.process(name, **({"wrap": wrap} if wrap else {}))
        self.runs = []
        self.running = self.most = 0
        self.wakeups = Wakeups()
        environment, storage = self.process.environment, self.process.storage

        async def succeed(content):
            return True

        async def handle(message, content):
            self.runs.append((round(world.loop.time(), 1), content, message.dequeue_count))
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                return await (function or succeed)(content)
            finally:
                self.running -= 1

        self.listener = QueueListener(
            replace(READING, **reading),
            handle,
            Connection.of(storage, environment),
            environment,
            self.wakeups,
            receipts=None if kept is None else MemoryReceipts(self.process, kept),
            place="Some Account",
        )
        self.task = self.process.spawn(self.listener.listen(), name="listen")

    @property
    def contents(self):
        return [content for _, content, _ in self.runs]

    async def stop(self):
        self.listener.stop()
        await self.task


def play(main, **options):
    world = World(**options)
    return world.run(main(world))


async def put(world, *contents, queue="orders", encode=True):
    queues = world.process("sender").storage.queues
    await queues.create_queue(queue)
    for content in contents:
        await queues.put(queue, encode_text(content, is_base64=True) if encode else content)


async def left(world, queue="orders"):
    queues = world.process("looker").storage.queues
    await queues.create_queue(queue)
    return [message.text for message in await queues.snapshot(queue)]


def test_messages_are_run_and_deleted():
    async def main(world):
        await put(world, "a", "b", "é")
        host = QueueHost(world)
        await world.clock.sleep(1)
        return host, await left(world)

    host, rest = play(main)

    assert sorted(host.contents) == ["a", "b", "é"]
    assert rest == []


def test_the_queue_is_made_when_there_is_none():
    async def main(world):
        host = QueueHost(world)
        await world.clock.sleep(1)
        await put(world, "first")
        host.wakeups.wake("orders")
        await world.clock.sleep(1)
        return host

    assert play(main).contents == ["first"]


def test_an_idle_queue_is_looked_at_ever_more_rarely_and_a_wake_up_ends_that():
    async def main(world):
        host = QueueHost(world)
        await world.clock.sleep(3600)
        await put(world, "polled")
        await world.clock.sleep(75)
        await put(world, "woken")
        host.wakeups.wake("orders")
        await world.clock.sleep(0.01)
        return host

    host = play(main)

    assert host.contents == ["polled", "woken"]
    assert host.runs[0][0] - 3600 <= 72.1
    assert host.runs[1][0] == pytest.approx(3675, abs=0.1)


def test_no_more_run_at_once_than_a_batch_and_the_threshold():
    async def main(world):
        await put(world, *map(str, range(40)))

        async def slow(content):
            await world.clock.sleep(1 + int(content) % 4)
            return True

        host = QueueHost(world, function=slow)
        await world.clock.sleep(30)
        return host

    host = play(main)

    assert len(host.runs) == 40
    assert host.most == 4 + 2


def test_a_batch_of_one_without_threshold_runs_one_after_the_other():
    async def main(world):
        await put(world, "a", "b", "c")

        async def slow(content):
            await world.clock.sleep(1)
            return True

        host = QueueHost(world, function=slow, batch_size=1, new_batch_threshold=0)
        await world.clock.sleep(10)
        return host

    host = play(main)

    assert (host.most, host.contents) == (1, ["a", "b", "c"])


def test_a_message_whose_function_fails_is_tried_again_and_then_laid_aside(caplog):
    async def main(world):
        await put(world, "bad", "good")

        async def picky(content):
            return content == "good"

        host = QueueHost(world, function=picky)
        await world.clock.sleep(5)
        return host, await left(world), await left(world, "orders-poison")

    host, rest, poison = play(main)

    assert [count for _, content, count in host.runs if content == "bad"] == [1, 2, 3]
    assert (rest, poison) == ([], [encode_text("bad", is_base64=True)])
    assert "Message has reached MaxDequeueCount of 3. Moving message to queue 'orders-poison'." in caplog.text


def test_visibility_timeout_is_the_pause_between_two_attempts():
    async def main(world):
        await put(world, "bad")

        async def fail(content):
            return False

        host = QueueHost(world, function=fail, visibility_seconds=30)
        await world.clock.sleep(200)
        return host

    times = [time for time, _, _ in play(main).runs]

    assert times == pytest.approx([0, 30, 60], abs=1)


def test_a_message_that_was_read_too_often_elsewhere_is_laid_aside_unseen():
    async def main(world):
        await put(world, "worn")
        queues = world.process("others").storage.queues
        for _ in range(3):
            (message,) = await queues.get("orders", limit=1, invisible_for=1)
            await queues.update("orders", message.id, message.receipt, visible_after=0)
        host = QueueHost(world)
        await world.clock.sleep(5)
        return host, await left(world, "orders-poison")

    host, poison = play(main)

    assert host.runs == []
    assert len(poison) == 1


def test_what_is_no_base64_is_laid_aside_as_it_is_and_the_fix_is_said(caplog):
    async def main(world):
        await put(world, "plain text!", encode=False)
        host = QueueHost(world)
        await world.clock.sleep(5)
        return host, await left(world, "orders-poison")

    host, poison = play(main)

    assert (host.runs, poison) == ([], ["plain text!"])
    assert "set extensions.queues.messageEncoding to none" in caplog.text


def test_a_poison_queue_keeps_what_its_function_cannot_deal_with():
    async def main(world):
        await put(world, "bad", queue="orders-poison")

        async def fail(content):
            return False

        host = QueueHost(world, function=fail, queue="orders-poison", poison=None)
        await world.clock.sleep(10 * HIDE_SECONDS)
        return host, await left(world, "orders-poison")

    host, rest = play(main)

    assert len(rest) == 1
    assert 5 <= len(host.runs) <= 11, "once in a while, not again and again at once"


def test_a_long_function_keeps_its_message_hidden_from_others():
    async def main(world):
        await put(world, "long")

        async def slow(content):
            await world.clock.sleep(20 * HIDE_SECONDS)
            return True

        first = QueueHost(world, "first", function=slow)
        await world.clock.sleep(1)
        second = QueueHost(world, "second")
        await world.clock.sleep(30 * HIDE_SECONDS)
        return first, second, await left(world)

    first, second, rest = play(main)

    assert (first.contents, second.contents, rest) == (["long"], [], [])


def test_a_host_that_dies_leaves_its_message_to_the_next_one():
    async def main(world):
        await put(world, "long")

        async def slow(content):
            await world.clock.sleep(10_000)
            return True

        first = QueueHost(world, "first", function=slow)
        await world.clock.sleep(100)
        first.process.kill()
        second = QueueHost(world, "second")
        await world.clock.sleep(2 * HIDE_SECONDS)
        return second, await left(world)

    second, rest = play(main)

    assert [(content, count) for _, content, count in second.runs] == [("long", 2)]
    assert second.runs[0][0] <= 100 + HIDE_SECONDS + 1
    assert rest == []


def test_a_host_that_is_started_again_has_at_once_what_it_had_in_hand_when_it_died():
    async def main(world):
        await put(world, "long", "short")

        async def slow(content):
            await world.clock.sleep(10_000 if content == "long" else 1)
            return True

        kept = {}
        first = QueueHost(world, "first", function=slow, kept=kept)
        await world.clock.sleep(45)
        noted = len(kept)
        first.process.kill()
        second = QueueHost(world, "second", kept=kept)
        await world.clock.sleep(1)
        return second, noted, kept, await left(world)

    second, noted, kept, rest = play(main)

    assert noted == 1, "what is done is noted no more"
    assert [(content, count) for _, content, count in second.runs] == [("long", 2)]
    assert (kept, rest) == ({}, [])


def test_a_host_that_slept_does_not_delete_what_another_took_meanwhile():
    async def main(world):
        await put(world, "long")
        may_end = asyncio.Event()

        async def slow(content):
            await world.clock.sleep(50)
            return True

        async def wait(content):
            await may_end.wait()
            return True

        first = QueueHost(world, "first", function=slow)
        await world.clock.sleep(1)
        first.process.pause()
        await world.clock.sleep(2 * HIDE_SECONDS)
        second = QueueHost(world, "second", function=wait)
        await world.clock.sleep(10)
        first.process.resume()
        await world.clock.sleep(60)
        in_between = len(await left(world))
        may_end.set()
        await world.clock.sleep(10)
        return first, second, in_between, await left(world)

    first, second, in_between, rest = play(main)

    assert (len(first.runs), len(second.runs)) == (1, 1)
    assert (in_between, rest) == (1, [])


def test_a_stop_lets_functions_end_and_takes_nothing_new():
    async def main(world):
        await put(world, "first")

        async def slow(content):
            await world.clock.sleep(5)
            return True

        host = QueueHost(world, function=slow)
        await world.clock.sleep(1)
        host.listener.stop()
        await put(world, "second")
        host.wakeups.wake("orders")
        await host.task
        return host, world.loop.time(), await left(world)

    host, ended, rest = play(main)

    assert host.contents == ["first"]
    assert ended == pytest.approx(5, abs=0.5)
    assert rest == [encode_text("second", is_base64=True)]


def test_what_is_left_at_the_end_of_the_grace_period_is_put_back_at_once():
    async def main(world):
        await put(world, "stuck")

        async def stuck(content):
            await asyncio.Event().wait()

        host = QueueHost(world, function=stuck)
        await world.clock.sleep(1)
        host.listener.stop()
        host.task.cancel()
        await asyncio.wait([host.task])
        other = QueueHost(world, "other")
        await world.clock.sleep(1)
        return other

    other = play(main)

    assert [(content, count) for _, content, count in other.runs] == [("stuck", 2)]


@pytest.mark.parametrize("error", [TransientStorageError("throttled"), StorageRefused("no permission")])
def test_trouble_with_the_storage_is_waited_out_and_said_once(caplog, error):
    is_broken = {"now": True}

    def wrap(storage):
        async def around(call, act):
            if is_broken["now"]:
                raise error
            return await act()

        return intercepted(storage, around)

    async def main(world):
        await put(world, "patient")
        host = QueueHost(world, wrap=wrap)
        await world.clock.sleep(300)
        is_broken["now"] = False
        await world.clock.sleep(40)
        return host

    host = play(main)

    assert host.contents == ["patient"]
    assert len([record for record in caplog.records if "does not answer" in record.getMessage()]) == 1


def test_a_stop_while_the_storage_is_away_does_not_take_long():
    def wrap(storage):
        async def around(call, act):
            raise TransientStorageError("away")

        return intercepted(storage, around)

    async def main(world):
        host = QueueHost(world, wrap=wrap)
        await world.clock.sleep(200)
        began = world.loop.time()
        await host.stop()
        return world.loop.time() - began

    assert play(main) < 0.1


def test_a_delete_that_fails_makes_the_message_come_again():
    is_broken = {"now": True}

    def wrap(storage):
        async def around(call, act):
            if call.method == "delete" and is_broken["now"]:
                is_broken["now"] = False
                raise TransientStorageError("lost")
            return await act()

        return intercepted(storage, around)

    async def main(world):
        await put(world, "twice")
        host = QueueHost(world, wrap=wrap)
        await world.clock.sleep(2 * HIDE_SECONDS)
        return host, await left(world)

    host, rest = play(main)

    assert [count for _, _, count in host.runs] == [1, 2]
    assert rest == []


def test_two_hosts_share_the_messages_and_run_each_once():
    async def main(world):
        await put(world, *map(str, range(60)))

        async def slow(content):
            await world.clock.sleep(0.5)
            return True

        hosts = [QueueHost(world, f"host {number}", function=slow) for number in range(2)]
        await world.clock.sleep(60)
        return hosts

    first, second = play(main, shuffled=True, seed=3)

    assert sorted(first.contents + second.contents, key=int) == list(map(str, range(60)))
    assert min(len(first.runs), len(second.runs)) > 10
