"""Timers in virtual time: when they fire, on which host, and what a restart makes of what was missed."""

import asyncio
import json
from datetime import timedelta, timezone

import pytest

from taskhub.errors import TransientStorageError
from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.functions import Function
from taskhub.host.triggers.connections import Connection
from taskhub.host.triggers.singleton import HOSTS_CONTAINER, LEASE_SECONDS, WAIT_SECONDS, Singleton
from taskhub.host.triggers.timer_status import timer_of
from taskhub.host.triggers.timers import StatusStore, TimerListener
from taskhub.simulation.loop import START
from taskhub.simulation.world import World
from taskhub.storage.interception import intercepted

UTC = timezone.utc
STATUS = "timers/host/Host.Functions.tick/status"


def tick(timer): ...


class TimerHost:
    """A process with one timer."""

    def __init__(self, world, name="one", *, takes=0.0, fails=False, wrap=None, skew=0.0, **properties):
        self.process = world.process(name, skew=timedelta(seconds=skew), **({"wrap": wrap} if wrap else {}))
        self.runs = []
        """Seconds since the start, and what the function was given."""
        self.details = []
        environment, storage = self.process.environment, self.process.storage
        connection = Connection.of(storage, environment)
        bindings = read_bindings([{"name": "timer", "type": "timerTrigger", "schedule": "0 0 * * * *", **properties}])
        plan = plan_call(Function("tick", tick, bindings, None))

        async def run(plan, trigger, *, reason, details):
            self.runs.append((round((world.clock.now() - START).total_seconds(), 1), json.loads(trigger.value)))
            self.details.append((reason, details))
            await environment.clock.sleep(takes)
            return not fails

        self.listener = TimerListener(
            plan,
            timer_of(bindings[0], UTC),
            run,
            StatusStore(connection, host_id="host", function="tick", zone=UTC),
            environment,
            zone=UTC,
        )
        self.singleton = Singleton(
            connection,
            environment,
            name="locks/host/Host.Functions.tick.Listener",
            holder=name,
            changed=self.listener.look,
        )
        self._tasks = [
            self.process.spawn(self.singleton.run(), name="lease"),
            self.process.spawn(self.listener.listen(self.singleton), name="timer"),
        ]

    @property
    def times(self):
        return [seconds for seconds, _ in self.runs]

    async def stop(self):
        self.listener.stop()
        await self._tasks[1]
        self._tasks[0].cancel()
        await self.singleton.release()

    def kill(self):
        self.process.kill()


def play(main, **options):
    world = World(max_seconds=1e9, **options)
    return world.run(main(world))


async def status(world):
    blobs = world.process("looker").storage.blobs
    return json.loads(await blobs.get_blob(HOSTS_CONTAINER, STATUS))


def test_a_timer_fires_at_its_times_and_not_at_the_start():
    async def main(world):
        host = TimerHost(world)
        await world.clock.sleep(3 * 3600 + 60)
        return host, await status(world)

    host, stored = play(main)

    assert host.times == [3600, 7200, 10800]
    assert [given["IsPastDue"] for _, given in host.runs] == [False] * 3
    assert host.runs[1][1]["ScheduleStatus"]["Next"] == "2026-01-01T02:00:00+00:00"
    assert stored["Next"] == "2026-01-01T04:00:00+00:00"
    assert stored["Last"].startswith("2026-01-01T03:00:00")
    assert host.details[0][0].startswith("Timer fired at 2026-01-01T01:00:00")


def test_the_status_is_there_before_the_first_run():
    async def main(world):
        TimerHost(world)
        await world.clock.sleep(10)
        return await status(world)

    stored = play(main)

    assert (stored["Last"], stored["Next"]) == ("0001-01-01T00:00:00", "2026-01-01T01:00:00+00:00")


def test_a_time_that_was_missed_is_made_up_for_once_at_the_next_start():
    async def main(world):
        first = TimerHost(world)
        await world.clock.sleep(3700)
        await first.stop()
        await world.clock.sleep(5 * 3600)
        second = TimerHost(world)
        await world.clock.sleep(3600)
        return first, second

    first, second = play(main)

    assert first.times == [3600]
    assert second.times == pytest.approx([3700 + 5 * 3600, 7 * 3600], abs=1)
    assert [given["IsPastDue"] for _, given in second.runs] == [True, False]
    assert "UnscheduledInvocationReason: IsPastDue, OriginalSchedule: 2026-01-01T02:00:00+00:00" in second.details[0][1]


def test_a_schedule_that_was_edited_makes_nothing_past_due():
    async def main(world):
        first = TimerHost(world, schedule="0 */5 * * * *")
        await world.clock.sleep(400)
        await first.stop()
        await world.clock.sleep(7200)
        second = TimerHost(world)
        await world.clock.sleep(100)
        return second

    assert play(main).runs == []


def test_a_run_at_the_start_says_why():
    async def main(world):
        host = TimerHost(world, runOnStartup=True, schedule="*/30 * * * * *")
        await world.clock.sleep(65)
        return host

    host = play(main)

    assert host.times == [0, 30, 60]
    assert host.details[0][1] == "UnscheduledInvocationReason: RunOnStartup"
    assert host.details[1][1] == ""


def test_more_than_once_a_minute_leaves_no_status():
    async def main(world):
        host = TimerHost(world, schedule="*/10 * * * * *")
        await world.clock.sleep(25)
        blobs = world.process("looker").storage.blobs
        return host, [item.name for item in await blobs.list_blobs(HOSTS_CONTAINER, "timers/")]

    host, blobs = play(main)

    assert host.times == [10, 20]
    assert host.runs[0][1]["ScheduleStatus"] is None
    assert blobs == []


def test_times_that_pass_during_a_run_are_made_up_for_once_and_runs_never_overlap():
    async def main(world):
        host = TimerHost(world, schedule="0 * * * * *", takes=150.0)
        await world.clock.sleep(600)
        return host

    # 60 to 210, at once for 120 (and with it 180), until 360, at once for 270 …
    assert play(main).times == [60, 210, 360, 510]


def test_a_function_that_fails_runs_again_at_its_next_time():
    async def main(world):
        host = TimerHost(world, fails=True)
        await world.clock.sleep(7300)
        return host

    assert play(main).times == [3600, 7200]


def test_an_interval_counts_from_the_beginning_of_a_run():
    async def main(world):
        host = TimerHost(world, schedule="00:10:00", takes=120.0)
        await world.clock.sleep(2000)
        return host

    times = play(main).times

    assert times == pytest.approx([600, 1200, 1800], abs=1)


def test_a_day_that_is_far_away_is_waited_for():
    async def main(world):
        host = TimerHost(world, schedule="0 0 0 3 * *")
        await world.clock.sleep(2 * 86400 + 10)
        return host

    assert play(main).times == [2 * 86400]


def test_a_schedule_that_never_comes_is_said_and_waits(caplog):
    async def main(world):
        host = TimerHost(world, schedule="0 0 0 31 2 *")
        await world.clock.sleep(3600)
        await host.stop()
        return host

    assert play(main).times == []
    assert "The schedule of Functions.tick (Cron: '0 0 0 31 2 *') never comes." in caplog.text


@pytest.mark.parametrize("skew", [-0.4, 0.4])
def test_a_clock_that_is_a_little_off_does_not_fire_a_time_twice(skew):
    async def main(world):
        host = TimerHost(world, schedule="0 * * * * *", skew=skew)
        await world.clock.sleep(125)
        return host

    # A clock that is behind begins before midnight, which is a time too.
    assert play(main).times[-2:] == pytest.approx([60 - skew, 120 - skew], abs=0.2)
    assert len(play(main).times) == (3 if skew < 0 else 2)


# ---- several hosts


def test_of_several_hosts_one_fires():
    async def main(world):
        hosts = [TimerHost(world, f"host {number}") for number in range(3)]
        await world.clock.sleep(3 * 3600 + 60)
        return hosts

    times = [host.times for host in play(main)]

    assert sorted(times) == [[], [], [3600, 7200, 10800]]


def test_when_the_one_that_fires_stops_another_goes_on_without_a_gap():
    async def main(world):
        first = TimerHost(world, "first", schedule="0 * * * * *")
        await world.clock.sleep(1)
        second = TimerHost(world, "second", schedule="0 * * * * *")
        await world.clock.sleep(150)
        await first.stop()
        await world.clock.sleep(150)
        return first, second

    first, second = play(main)

    assert first.times == [60, 120]
    assert second.times == [180, 240, 300]


def test_when_the_one_that_fires_is_killed_another_makes_up_for_what_it_missed():
    async def main(world):
        first = TimerHost(world, "first", schedule="0 * * * * *")
        await world.clock.sleep(1)
        second = TimerHost(world, "second", schedule="0 * * * * *")
        await world.clock.sleep(117)
        first.kill()
        await world.clock.sleep(100)
        return second

    second = play(main)

    # The lease ends some seconds after 120, the time that nobody was there for.
    assert 120 < second.times[0] <= 120 + LEASE_SECONDS + WAIT_SECONDS
    assert second.runs[0][1]["IsPastDue"]
    assert second.times[1:] == [180]


def test_a_host_that_was_killed_has_its_timer_back_at_once():
    async def main(world):
        first = TimerHost(world, "same", schedule="0 * * * * *")
        await world.clock.sleep(118)
        first.kill()
        second = TimerHost(world, "same", schedule="0 * * * * *")
        await world.clock.sleep(70)
        return second

    assert play(main).times == [120, 180]


def test_a_host_that_slept_past_its_lease_does_not_fire_what_another_fired():
    async def main(world):
        first = TimerHost(world, "first", schedule="0 * * * * *")
        await world.clock.sleep(1)
        second = TimerHost(world, "second", schedule="0 * * * * *")
        await world.clock.sleep(29)
        first.process.pause()
        await world.clock.sleep(75)
        first.process.resume()
        await world.clock.sleep(60)
        return first, second

    first, second = play(main)

    assert sorted(first.times + second.times) == pytest.approx([70, 120], abs=10), "60 when the lease has ended"


# ---- storage


def broken(*methods):
    """Wrap a store whose calls of these names fail, but for those that make what is needed."""
    is_broken = {"now": True}

    def wrap(storage):
        async def around(call, act):
            if is_broken["now"] and call.method in methods:
                raise TransientStorageError("throttled")
            return await act()

        return intercepted(storage, around)

    return wrap, is_broken


def test_a_status_that_cannot_be_read_counts_as_none_and_one_that_cannot_be_stored_stops_nothing(caplog):
    wrap, _ = broken("get_blob", "put_blob")

    async def main(world):
        maker = TimerHost(world, "maker")
        await world.clock.sleep(1)
        await maker.stop()
        host = TimerHost(world, "other", wrap=wrap)
        await world.clock.sleep(7300)
        return host

    assert play(main).times == [3600, 7200]
    assert "the status of a timer cannot be read, so that it begins anew" in caplog.text
    assert "the status of a timer cannot be stored" in caplog.text


def test_while_the_storage_is_away_nothing_fires_and_what_was_missed_comes_after():
    wrap, is_broken = broken("acquire_lease", "renew_lease")
    is_broken["now"] = False

    async def main(world):
        host = TimerHost(world, schedule="0 * * * * *", wrap=wrap)
        await world.clock.sleep(90)
        is_broken["now"] = True
        await world.clock.sleep(100)
        is_broken["now"] = False
        await world.clock.sleep(100)
        return host

    host = play(main)

    assert host.times[0] == 60
    assert 190 <= host.times[1] < 202
    assert host.runs[1][1]["IsPastDue"]
    assert host.times[2:] == [240]


def test_a_lock_that_somebody_deleted_is_made_again():
    async def main(world):
        host = TimerHost(world, schedule="0 * * * * *")
        await world.clock.sleep(30)
        account = world.account.containers[HOSTS_CONTAINER].blobs
        account.pop("locks/host/Host.Functions.tick.Listener")
        await world.clock.sleep(60)
        return host

    assert play(main).times == [60]


def test_a_stop_waits_for_the_run_and_fires_no_more():
    async def main(world):
        host = TimerHost(world, schedule="0 * * * * *", takes=30.0)
        await world.clock.sleep(61)
        began = world.loop.time()
        await asyncio.wait_for(host.stop(), 60)
        took = world.loop.time() - began
        await world.clock.sleep(120)
        return host, took

    host, took = play(main)

    assert host.times == [60]
    assert took == pytest.approx(29, abs=1)
