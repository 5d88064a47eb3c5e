"""Why some lines are reached by no simulated run; by module, or by function as ``module:Class.function``."""

from __future__ import annotations

_PEOPLE = "for people and tools beside a running hub, which runs have none of: "
_PARKING = (
    "nothing is parked in a run, so that losses show; tests/unit/runtime/test_quarantine.py does it at every reading"
)
_DAMAGE = (
    "nobody writes what cannot be read; tests/conformance/client/test_damage.py, tests/unit/runtime/test_odd_rows.py"
)
_UNSTORABLE = "runs decide nothing that storage refuses; tests/unit/runtime/test_unstorable.py, test_impossible_ids.py"
_VERSIONS = "apps of runs have no version; tests/unit/runtime/test_versions.py"
_STOPS = "entities are neither suspended nor terminated in runs; tests/unit/runtime/test_entities.py"
_DOTNET = "Python entities send no signals and start nothing, those of others may; tests/unit/core/test_entity_batch.py"
_SORTING = "runs are over before the half hour of the sorter's window; tests/unit/core/test_entity_sorter.py"
_DELETED = "nobody deletes a hub under its workers in runs; tests/azurite/test_trouble.py, scripts/soak"
_APPS = "the workers of a run are of one app; tests/unit/runtime/test_app_lease.py has two"
_REWIND = "runs rewind what failed in one way; tests/unit/runtime/test_rewinding.py breaks rewinds off at every call"
_RARE = "takes two strikes at once, which 200 runs need not have; "
_LOOKS = "what a test or a log looks at"

UNREACHED: dict[str, str] = {
    # ---- not of workers
    "core.action_list": "no code of runs is a custom handler; tests/unit/core/test_action_list.py",
    "core.diagnosis": _PEOPLE + "tests/conformance/runtime/test_doctor.py",
    "core.entity_facts": _PEOPLE + "tests/conformance/runtime/test_doctor.py",
    "core.lost_requests": _PEOPLE + "tests/conformance/runtime/test_doctor.py",
    "core.pending": _PEOPLE + "tests/unit/core/test_pending.py",
    "core.picture": _PEOPLE + "tests/conformance/runtime/test_doctor.py",
    "runtime.doctor": _PEOPLE
    + "tests/conformance/runtime/test_doctor.py; tests/simulation/test_doctor.py looks at runs",
    "runtime.entity_directory": _PEOPLE + "tests/unit/runtime/test_entity_directory.py",
    "runtime.hub_look": _PEOPLE + "tests/conformance/runtime/test_doctor.py",
    "runtime.hub_status": _PEOPLE + "tests/conformance/client/test_hub.py",
    "runtime.parking": "only `taskhub start --watch` parks instances; tests/unit/runtime/test_parking.py",
    "runtime.transfer": _PEOPLE + "tests/conformance/client/test_move.py",
    "runtime.instance_store:InstanceStore.query": _PEOPLE + "tests/conformance/client/test_recorded_hubs.py",
    "runtime.instance_store:_where": _PEOPLE + "tests/conformance/client/test_recorded_hubs.py",
    "runtime.instance_store:_any_of": _PEOPLE + "tests/conformance/client/test_recorded_hubs.py",
    "runtime.purging:Purging.ended": _PEOPLE + "tests/conformance/client/test_purge.py",
    "runtime.purging:Purging._try_to_remove": _PEOPLE + "tests/conformance/client/test_purge.py",
    # ---- the system's, in whose place the simulation puts its own
    "runtime.clock:SystemClock": "the simulation has a clock of its own",
    "runtime.environment:_create_task": "tasks of runs belong to processes",
    "runtime.worker:Worker.__init__": "runs have no host beside their workers; tests/unit/runtime/test_worker.py",
    "runtime.worker:Worker.wake": "runs have no host beside their workers; tests/unit/runtime/test_worker.py",
    "runtime.worker:Worker._first_owned": "nobody waits for workers of runs to be ready",
    # ---- what is refused, damaged or parked
    "core.poison": _PARKING,
    "runtime.dead_letters": _PARKING,
    "runtime.quarantine": _PARKING,
    "runtime.mailbox:Mailbox._admit": _PARKING,
    "runtime.messenger:Messenger.put_again": _PARKING,
    "runtime.instance_store:InstanceStore.fail_unstarted": _PARKING,
    "runtime.mailbox:Mailbox._report_poison": _PARKING,
    "runtime.application:EntityFailed.because": _DAMAGE,
    "runtime.entities:Entities._call": _DAMAGE,
    "runtime.entities:Entities._incoming": _DAMAGE,
    "runtime.entities:Entities._log_failed": _DAMAGE,
    "runtime.entities:Entities._log_operation_failed": "none of a run fails; tests/unit/runtime/test_entities.py",
    "runtime.instance_store:InstanceStore._state_or_none": _DAMAGE,
    "runtime.large_values:LargeValues.raw": _PEOPLE + "tests/conformance/client/test_move.py",
    "runtime.large_values:LargeValues.restore": _PEOPLE + "tests/conformance/client/test_move.py",
    "runtime.mailbox:Mailbox._report_unreadable": _DAMAGE,
    "runtime.table_leases:TableLeases._lease": _DAMAGE,
    "runtime.blob_leases:LeaseFolder._read": _DAMAGE,
    "core.runtime_state:_json_object": _DAMAGE,
    "core.runtime_state:_entity_told": _DAMAGE,
    "core.runtime_state:request_id_of": _PEOPLE + "tests/conformance/runtime/test_doctor.py",
    "core.episode:_beyond_limits": _UNSTORABLE,
    "core.partitioning:_utf8": _UNSTORABLE,
    "runtime.activities:Activities._answers_directly": _UNSTORABLE,
    "runtime.activities:Activities._answer_anyhow": _UNSTORABLE,
    "runtime.orchestrations:Orchestrations._commit": _UNSTORABLE,
    "runtime.sessions:Session.advance": _UNSTORABLE,
    "runtime.sessions:_up_to_refused": _UNSTORABLE,
    "runtime.sessions:_refusal_of": _UNSTORABLE,
    # ---- settings that runs leave alone
    "core.versioning": _VERSIONS,
    "core.episode:refuse_version": _VERSIONS,
    "runtime.orchestrations:Orchestrations._put_back_version": _VERSIONS,
    "runtime.orchestrations:Orchestrations._run": _VERSIONS,
    "runtime.app_lease": _APPS,
    "core.hub_shape": "the shape of a run's hub does not change; tests/unit/core/test_hub_shape.py",
    "runtime.hub:Hub._stored_count": "the shape of a run's hub does not change; tests/conformance/client/test_hub.py",
    "runtime.hub:Hub._at_work": "the shape of a run's hub does not change; tests/conformance/client/test_hub.py",
    "runtime.hub:Hub._is_leased": "the shape of a run's hub does not change; tests/conformance/client/test_hub.py",
    "runtime.hub:Hub._create_rows": "workers of runs agree on it; tests/unit/runtime/test_partition_managers.py",
    "runtime.hub:_lease_of": "the shape of a run's hub does not change; tests/conformance/client/test_hub.py",
    # ---- stores that forget
    "runtime.hub:Hub.forget": _DELETED,
    "runtime.control_queue:ControlQueue._read": _DELETED,
    "runtime.partitions:Partitions._trouble": _DELETED,
    "runtime.activities:Activities._read": _DELETED,
    # ---- entities
    "runtime.entities:EntitySession.committed": _STOPS,
    "runtime.entities:Entities.process": _STOPS,
    "runtime.entities:Entities._append": _STOPS,
    "runtime.entities:Entities._log_dropped": _STOPS,
    "runtime.entities:_must_append": _STOPS,
    "core.timers:due_of_event": "no signal of a run is for later; tests/unit/runtime/test_entities.py",
    "core.entity_batch:hidden_until": "no signal of a run is for later; tests/unit/core/test_entity_batch.py",
    "core.entity_batch:_seconds_until": "no signal of a run is for later; tests/unit/core/test_entity_batch.py",
    "core.entity_batch:_Taking": "no signal of a run is for later; tests/unit/core/test_entity_batch.py",
    "core.entity_batch:_fill": _RARE + "tests/unit/core/test_entity_batch.py",
    "core.entity_batch:finish_batch": "entities of runs do not fail; tests/unit/core/test_entity_batch.py",
    "core.entity_batch:_signals": _DOTNET,
    "core.entity_batch:_starts": _DOTNET,
    "runtime.entity_messages": _DOTNET,
    "core.entity_sorter:MessageSorter.label": _DOTNET,
    "core.entity_sorter:MessageSorter._move_send_horizon": _DOTNET,
    "core.entity_sorter:MessageSorter.receive": _SORTING,
    "core.entity_sorter:MessageSorter._move_receive_horizon": _SORTING,
    "core.entity_memory:RequestMemory._note": "none of a run takes 512 requests; tests/unit/core/test_entity_memory.py",
    "core.execution_memory:ExecutionMemory._note_start": "64 are many; tests/unit/core/test_execution_memory.py",
    # ---- rewinding
    "core.rewind": _REWIND,
    "runtime.rewinding": _REWIND,
    "runtime.history_store:HistoryStore.rewind": _REWIND,
    # ---- rare, and shown one by one elsewhere
    "core.admission:judge_start": _RARE + "tests/unit/core/test_admission.py",
    "core.admission:is_overtaken": _RARE + "tests/unit/core/test_admission.py",
    "core.admission:is_of_later": _RARE + "tests/unit/core/test_admission.py",
    "core.admission:admit": _RARE + "tests/unit/core/test_admission.py",
    "core.balancing:_steals": _RARE + "tests/unit/core/test_balancing.py",
    "core.episode:follows": _RARE + "tests/unit/core/test_episode.py",
    "runtime.activities:Activities._settle": _RARE + "tests/unit/runtime/test_shortcuts.py",
    "runtime.activities:Activities.abandon": _RARE + "tests/conformance/runtime/test_commits.py",
    "runtime.activities:ActivityRunner": _RARE + "tests/unit/runtime/test_shortcuts.py",
    "runtime.activities:Activities._remember_answered": "no run has 10,000 activities",
    "runtime.activities:Activities.describe": _RARE + "tests/unit/runtime/test_unstorable.py",
    "runtime.dispatcher:Dispatcher._log": _RARE + "tests/unit/runtime/test_orchestrations.py",
    "runtime.blob_leases:LeaseFolder._steal": _RARE + "tests/unit/runtime/test_partition_managers.py",
    "runtime.checkpoints": _RARE + "tests/unit/runtime/test_checkpoints.py, test_overtaken.py",
    "runtime.history_store:HistoryStore.load": _RARE + "tests/unit/runtime/test_overtaken.py",
    "runtime.history_store:HistoryStore.delete": _RARE + "tests/conformance/client/test_purge.py",
    "runtime.history_store:HistoryStore._flush": _RARE + "tests/unit/runtime/test_checkpoints.py",
    "runtime.inbox:Inbox.park": "only `taskhub start --watch` parks instances; tests/unit/runtime/test_parking.py",
    "runtime.inbox:Inbox.rest": _RARE + "tests/unit/runtime/test_sessions.py",
    "runtime.instance_store:InstanceStore.create": _RARE + "tests/unit/runtime/test_overtaken.py",
    "runtime.instance_store:InstanceStore.terminate_unstarted": _RARE + "tests/unit/runtime/test_orchestrations.py",
    "runtime.instance_store:InstanceStore._suffix": "reasons are short; tests/unit/runtime/test_orchestrations.py",
    "runtime.instance_work:InstanceWork.abandon": _RARE + "tests/unit/runtime/test_checkpoints.py, test_parking.py",
    "runtime.instance_work:InstanceWork._let_go": "no start is for later; tests/unit/runtime/test_overtaken.py",
    "runtime.large_values:LargeValues.put": _RARE + "tests/unit/runtime/test_unstorable.py",
    "runtime.mailbox": _RARE + "tests/unit/runtime/test_mailbox.py, test_overtaken.py",
    "runtime.nursery": _RARE + "tests/unit/runtime/test_nursery.py",
    "runtime.orchestrations:Orchestrations.complete": _RARE + "tests/unit/runtime/test_shortcuts.py",
    "runtime.orchestrations:Orchestrations._begin_again": _RARE + "tests/unit/runtime/test_shortcuts.py",
    "runtime.orchestrations:Orchestrations._act": _RARE + "tests/unit/runtime/test_orchestrations.py, test_versions.py",
    "runtime.orchestrations:Orchestrations._until_start": "no start of a run is for later; test_overtaken.py",
    "runtime.outages": _RARE + "tests/simulation/test_trouble.py",
    "runtime.partitions:Partitions._is_drained": _RARE + "tests/unit/runtime/test_partitions.py",
    "runtime.partitions:Partitions._round": _RARE + "tests/unit/runtime/test_partition_managers.py",
    "runtime.purging:Purging.one": _RARE + "tests/conformance/client/test_purge.py",
    "runtime.purging:Purging._remove_late": _RARE + "tests/unit/runtime/test_overtaken.py",
    "runtime.receipts:give_back_left": _RARE + "tests/unit/runtime/test_receipts.py",
    "core.activity:is_question_id": "every message has a GUID here; tests/unit/core/test_admission.py",
    "core.admission:_accept": _RARE + "tests/unit/core/test_admission.py",
    "core.entity_batch:_is_over": "no entity of a run is suspended so long; tests/unit/core/test_entity_batch.py",
    "core.entity_sorter:MessageSorter._deliver": _SORTING,
    "runtime.local_messages:LocalMessages.keep_message": "no client of a run lives in a worker; test_shortcuts.py",
    "runtime.orchestrations:Orchestrations._judge_start": _RARE + "tests/unit/runtime/test_orchestrations.py",
    "runtime.purging:Purging._remove": _RARE + "tests/unit/runtime/test_overtaken.py",
    "runtime.sessions:StoredInstance.execution_id": _RARE + "tests/unit/runtime/test_shortcuts.py",
    # ---- looks
    "core.episode:Checkpoint.is_final": _LOOKS,
    "runtime.inbox:Inbox.warm_events": _LOOKS,
    "runtime.inbox:Inbox.warm_bytes": _LOOKS,
    "runtime.partitions:Partitions.owned": _LOOKS,
    "runtime.sessions:StoredInstance.has_begun": "rows of entities are never Pending",
}
