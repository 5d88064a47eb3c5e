from pathlib import Path

import pytest

from tests.support.imports import Module, Row, cycles, read_modules, violations

ROOT = Path(__file__).parents[3]

BASE = ("taskhub.model", "taskhub.errors")
RUNTIME = (
    *BASE,
    "taskhub.core",
    "taskhub.codec",
    "taskhub.storage.port",
    "taskhub.storage.interception",  # docs/adr/0011-health-of-each-service.md
    "taskhub.settings",
    "taskhub.names",
    "taskhub.client",
    "taskhub.runtime",
)
HOST = (*BASE, "taskhub.client", "taskhub.runtime", "taskhub.settings", "taskhub.wiring", "taskhub.hints")
PORT = ("taskhub.model.ids", "taskhub.errors", "taskhub.storage.port")
ADAPTER = (*PORT, "taskhub.storage.rules", "taskhub.storage.interception")
STORES = tuple(f"taskhub.storage.{name}" for name in ("interception", "memory", "faults"))
SDK = "azure.durable_functions"
SDK_BASE = tuple(f"{SDK}.{name}" for name in ("_conversion", "_serialization", "constants", "errors"))
LIVE_SHELL = f"{SDK}.replay"

# The first row that matches a module counts. What each part may import is drawn in docs/design; a change here is a
# change of the design and needs an ADR.
TABLE = (
    Row("model, errors", ("taskhub.model", "taskhub.errors"), BASE),
    Row("settings, names", ("taskhub.settings", "taskhub.names"), BASE),
    Row("core", ("taskhub.core",), (*BASE, "taskhub.core")),
    Row("codec", ("taskhub.codec",), (*BASE, "taskhub.codec")),
    Row(
        "storage: port, rules, interception",
        ("taskhub.storage.port", "taskhub.storage.rules", "taskhub.storage.interception"),
        PORT,
    ),
    Row(
        "storage: azure",
        ("taskhub.storage.azure",),
        (
            *ADAPTER,
            "taskhub.storage.azure",
            "azure.storage",
            "azure.data",
            "azure.core",
            "azure.identity",
            "aiohttp",
            "yarl",
        ),
    ),
    Row("storage: other adapters", ("taskhub.storage",), (*ADAPTER, "taskhub.storage.interception")),
    Row(
        # An app may run on the official SDK, which has no live shell: what needs it is kept apart.
        "runtime.live_replay",
        ("taskhub.runtime.live_replay",),
        (*RUNTIME, LIVE_SHELL),
    ),
    Row("runtime, client", ("taskhub.runtime", "taskhub.client"), RUNTIME),
    Row(
        "simulation",
        ("taskhub.simulation",),
        (*RUNTIME, "taskhub.host", *STORES, "taskhub.simulation", "azure.functions", LIVE_SHELL),
    ),
    Row(
        "host.live_orchestrations, .call_plan",
        ("taskhub.host.live_orchestrations", "taskhub.host.call_plan"),
        (*HOST, "taskhub.core", "taskhub.host", "azure.functions", LIVE_SHELL),
    ),
    # docs/adr/0017-local-clients.md
    Row("host.local_door", ("taskhub.host.local_door",), (*HOST, "taskhub.host", "yarl", f"{SDK}.hosting")),
    # The JSON protocol's texts and lists are decided about beside those of the store.
    Row(
        "host.json_orchestrations",
        ("taskhub.host.json_orchestrations",),
        (*HOST, "taskhub.core", "taskhub.codec", "taskhub.host", "azure.functions"),
    ),
    # The protobuf protocol's answers hold messages for entities, whose texts are those of the store. Its classes and
    # gRPC are the app's, and no module names them. docs/adr/0014-sdk-2x.md
    Row("host.protobuf", ("taskhub.host.protobuf",), (*HOST, "taskhub.codec", "taskhub.host", "azure.functions")),
    # Optional: only what hands spans over imports the library for it. docs/adr/0019-tracing.md
    Row(
        "host.telemetry", ("taskhub.host.telemetry",), (*HOST, "taskhub.core.tracing", "taskhub.host", "opentelemetry")
    ),
    Row("host", ("taskhub.host",), (*HOST, "taskhub.host", "azure.functions", "aiohttp", "yarl")),
    Row("cli", ("taskhub.cli",), (*HOST, "taskhub.host", "taskhub.cli", "typer", "rich")),
    Row("hints", ("taskhub.hints",), BASE),
    Row("wiring", ("taskhub.wiring",), (*BASE, "taskhub.settings", "taskhub.storage")),
    Row("taskhub", ("taskhub",), (*BASE, "taskhub.client", "taskhub.settings", "taskhub.runtime")),
    # Type checkers bring typing_extensions along: imported for them only. docs/adr/0009-typed-calls.md
    Row("sdk: _replay, type variables", (f"{SDK}._replay.typevars",), ("typing_extensions",)),
    # The engine needs the reference's JSON rule for custom objects and the errors, which the rest of the SDK shares.
    Row("sdk: activities", (f"{SDK}._typed_activities",), (f"{SDK}._replay", *SDK_BASE)),
    Row("sdk: _replay", (f"{SDK}._replay",), (f"{SDK}._replay", *SDK_BASE)),
    Row("sdk: what _replay needs", SDK_BASE, (*SDK_BASE, "azure.functions")),
    # Optional: only what has to do with agents imports their library, which brings pydantic.
    Row("sdk: agents", (f"{SDK}.openai_agents",), (SDK, "agents", "pydantic", "pydantic_core")),
    Row("sdk: decorators", (f"{SDK}.decorators",), (SDK, "azure.functions", "agents")),
    # docs/adr/0010-simulation-ships.md
    Row("sdk: testing", (f"{SDK}.testing",), (SDK, "taskhub", "azure.functions", "pytest")),
    Row("sdk", (SDK,), (SDK, "azure.functions", "aiohttp", "opentelemetry")),
)


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return [*read_modules(ROOT, "taskhub"), *read_modules(ROOT / "sdk", "azure")]


def test_every_module_imports_only_what_its_row_of_the_table_allows(modules):
    assert violations(modules, TABLE) == []


def test_no_modules_import_each_other_in_a_circle(modules):
    assert cycles(modules) == []


def test_there_is_no_utils_module(modules):
    # models/utils is a public path of the reference.
    assert not [each.name for each in modules if each.name.endswith(".utils") and ".models." not in each.name]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import azure.storage.queue", "taskhub.core.episode imports azure.storage.queue: row 'core'"),
        ("from azure import storage", "taskhub.core.episode imports azure.storage: row 'core'"),
        ("from taskhub.codec import keys", "taskhub.core.episode imports taskhub.codec.keys: row 'core'"),
        ("from ..codec.keys import row_key", "taskhub.core.episode imports taskhub.codec.keys: row 'core'"),
        ("from .. import codec", "taskhub.core.episode imports taskhub.codec: row 'core'"),
        ("def late():\n    import aiohttp", "taskhub.core.episode imports aiohttp: row 'core'"),
    ],
)
def test_an_import_that_breaks_a_row_is_named_with_the_row(tmp_path, source, complaint):
    for name in ("__init__", "core/__init__", "codec/__init__", "codec/keys"):
        path = tmp_path / "taskhub" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "taskhub/core/episode.py").write_text(f"from taskhub.model.ids import ETag\n{source}\n")

    found = violations(read_modules(tmp_path, "taskhub"), TABLE)

    assert len(found) == 1
    assert found[0].startswith(complaint)


def test_a_module_that_no_row_names_is_a_violation():
    assert violations([Module("elsewhere", frozenset())], TABLE) == ["elsewhere is in no row of the table"]


def test_a_circle_of_three_is_found_and_a_diamond_is_none():
    circle = [Module("a", frozenset({"b"})), Module("b", frozenset({"c"})), Module("c", frozenset({"a"}))]
    diamond = [
        Module("top", frozenset({"left", "right"})),
        Module("left", frozenset({"bottom"})),
        Module("right", frozenset({"bottom"})),
        Module("bottom", frozenset()),
    ]

    assert cycles(circle + diamond) == ["a <-> b <-> c"]
