import asyncio

import pytest

from taskhub.errors import RowChanged, RowExists, RowNotFound, StorageRefused, TableNotFound
from taskhub.model.ids import ETag, Utc
from taskhub.storage.port import AllOf, AnyOf, Comparison, Row, TableWrite, Where, Write

EQ, NE, LT, LE, GT, GE = Comparison.EQ, Comparison.NE, Comparison.LT, Comparison.LE, Comparison.GT, Comparison.GE


def a_write(kind, row_key="r", columns=None, *, partition_key="p", if_match=None):
    return TableWrite(kind, Row(partition_key, row_key, {} if columns is None else columns), if_match)


async def insert(subject, table, *rows):
    return [await subject.tables.write(table, TableWrite(Write.INSERT, row)) for row in rows]


async def all_pages(subject, table, where=None, **options):
    pages = [await subject.tables.query(table, where, **options)]
    while pages[-1].token is not None:
        pages.append(await subject.tables.query(table, where, token=pages[-1].token, **options))
    return pages


async def keys(subject, table, where=None):
    return [(row.partition_key, row.row_key) for page in await all_pages(subject, table, where) for row in page.rows]


async def row_keys(subject, table, where=None):
    return [row_key for _, row_key in await keys(subject, table, where)]


# ---- tables


async def test_a_table_is_created_once_and_deleted_once_whatever_the_case_of_its_name(subject):
    name = f"{subject.prefix}Table"

    assert await subject.tables.table_exists(name) is False
    assert await subject.tables.create_table(name) is True
    assert await subject.tables.create_table(name) is False
    assert await subject.tables.create_table(name.upper()) is False
    assert await subject.tables.table_exists(name) is True
    if subject.kind != "azure":  # Azurite finds a table by the case it was made with
        assert await subject.tables.table_exists(name.lower()) is True
    assert await subject.tables.delete_table(name) is True
    assert await subject.tables.delete_table(name) is False
    assert await subject.tables.table_exists(name) is False


@pytest.mark.parametrize(
    "call",
    [
        lambda tables, name: tables.read(name, "p", "r"),
        lambda tables, name: tables.query(name),
        lambda tables, name: tables.query(name, Where("PartitionKey", EQ, "p")),
        lambda tables, name: tables.write(name, a_write(Write.INSERT)),
        lambda tables, name: tables.write(name, a_write(Write.REPLACE)),
        lambda tables, name: tables.write(name, a_write(Write.MERGE)),
        lambda tables, name: tables.write(name, a_write(Write.INSERT_OR_REPLACE)),
        lambda tables, name: tables.write(name, a_write(Write.INSERT_OR_MERGE)),
        lambda tables, name: tables.write(name, a_write(Write.DELETE)),
        lambda tables, name: tables.batch(name, [a_write(Write.INSERT), a_write(Write.INSERT, "r2")]),
    ],
    ids=["read", "query", "filter", "insert", "replace", "merge", "upsert", "upsert merge", "delete", "batch"],
)
async def test_a_missing_table_is_named_as_such(subject, call):
    with pytest.raises(TableNotFound):
        await call(subject.tables, f"{subject.prefix}Absent")


async def test_a_table_made_again_is_empty(subject):
    table = await subject.a_table()
    await insert(subject, table, Row("p", "r", {}))

    await subject.tables.delete_table(table)
    await subject.tables.create_table(table)

    assert await keys(subject, table) == []


# ---- values


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "text",
        "null",
        "2024-02-27T17:20:34.5678901Z",
        'Größe 日本語 \U0001f600 \u2028 "quoted" \\ back',
        "control \x00 \x01 \r\n \t \x7f \x85 \ufeff \ufffe \uffff",
        "<xml>&amp;</xml>",
        True,
        False,
        0,
        -1,
        2**31 - 1,
        -(2**31),
        2**31,
        -(2**63),
        2**63 - 1,
        0.5,
        3.0,
        1e300,
        float("inf"),
        float("-inf"),
        Utc("2024-02-27T17:20:34.5678901Z"),
        Utc("2024-02-27T17:20:34.1Z"),
        Utc("2024-02-27T17:20:34Z"),
        Utc("1601-01-01T00:00:00Z"),
        Utc("9999-12-31T23:59:59.9999999Z"),
    ],
    ids=repr,
)
async def test_a_value_comes_back_as_it_was_stored_and_of_its_type(subject, value):
    table = await subject.a_table()
    await insert(subject, table, Row("p", "r", {"Value": value}))

    by_key = await subject.tables.read(table, "p", "r")
    [by_query] = (await subject.tables.query(table, Where("PartitionKey", EQ, "p"))).rows

    for row in (by_key, by_query):
        assert row.columns == {"Value": value}
        assert type(row.columns["Value"]) is type(value)


async def test_a_nan_comes_back(subject):
    table = await subject.a_table()
    await insert(subject, table, Row("p", "r", {"Value": float("nan")}))

    row = await subject.tables.read(table, "p", "r")

    assert row.columns["Value"] != row.columns["Value"]


async def test_a_row_comes_back_without_the_columns_of_the_service(subject):
    table = await subject.a_table()
    [etag] = await insert(subject, table, Row("p", "r", {"A": 1, "B": "x"}))

    row = await subject.tables.read(table, "p", "r")

    assert row == Row("p", "r", {"A": 1, "B": "x"}, etag)


async def test_a_row_that_is_not_there_reads_as_none(subject):
    table = await subject.a_table()

    assert await subject.tables.read(table, "p", "r") is None


HOSTILE_KEYS = [
    "",
    "with space",
    " blank first and last ",
    "it's",
    "''",
    "100%",
    "%41",
    "a+b",
    "a&b=c",
    "a,b(c)",
    "semi;colon:at@",
    "@counter@k",
    "^0^1",
    "Größe",
    "日本語",
    "\U0001f600",
    "<x>&amp;\"'",
    "{json}",
    "$batch",
    "~`!|*[]",
    "É^É",
]


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=repr)
async def test_keys_may_hold_anything_that_the_service_allows(subject, key):
    table = await subject.a_table()

    await insert(subject, table, Row(key, key, {"N": 0}), Row("other", "other", {}))
    await subject.tables.write(table, a_write(Write.MERGE, key, {"A": 1}, partition_key=key))
    etag = await subject.tables.write(table, a_write(Write.REPLACE, key, {"N": 1}, partition_key=key))
    [batched] = await subject.tables.batch(
        table, [a_write(Write.MERGE, key, {"B": 2}, partition_key=key, if_match=etag)]
    )
    expected = Row(key, key, {"N": 1, "B": 2}, batched)

    assert await subject.tables.read(table, key, key) == expected
    where = AllOf((Where("PartitionKey", EQ, key), Where("RowKey", EQ, key)))
    assert list((await subject.tables.query(table, where)).rows) == [expected]
    await subject.tables.write(table, a_write(Write.DELETE, key, partition_key=key))
    assert await keys(subject, table) == [("other", "other")]


@pytest.mark.parametrize("key", ["a/b", "a\\b", "a#b", "a?b", "a\tb", "a\nb", "a\x7fb", "a\x85b", "k" * 513, "\ud800"])
async def test_keys_that_the_service_does_not_allow_are_refused(subject, key):
    table = await subject.a_table()

    with pytest.raises(StorageRefused):
        await insert(subject, table, Row("p", key, {}))
    with pytest.raises(StorageRefused):
        await insert(subject, table, Row(key, "r", {}))


# ---- writes


async def test_insert_refuses_a_row_that_exists(subject):
    table = await subject.a_table()
    await insert(subject, table, Row("p", "r", {"A": 1}))

    with pytest.raises(RowExists):
        await insert(subject, table, Row("p", "r", {"A": 2}))

    assert (await subject.tables.read(table, "p", "r")).columns == {"A": 1}


@pytest.mark.parametrize("kind", [Write.REPLACE, Write.MERGE, Write.DELETE])
async def test_an_update_or_delete_needs_the_row(subject, kind):
    table = await subject.a_table()

    with pytest.raises(RowNotFound):
        await subject.tables.write(table, a_write(kind))
    with pytest.raises(RowNotFound):
        await subject.tables.write(table, a_write(kind, if_match=ETag("W/\"datetime'2020-01-01T00%3A00%3A00.0Z'\"")))

    assert await subject.tables.read(table, "p", "r") is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Write.REPLACE, {"B": 3, "C": 4}),
        (Write.MERGE, {"A": 1, "B": 3, "C": 4}),
        (Write.INSERT_OR_REPLACE, {"B": 3, "C": 4}),
        (Write.INSERT_OR_MERGE, {"A": 1, "B": 3, "C": 4}),
    ],
)
async def test_replacing_drops_the_columns_that_merging_keeps(subject, kind, expected):
    table = await subject.a_table()
    await insert(subject, table, Row("p", "r", {"A": 1, "B": 2}))

    etag = await subject.tables.write(table, a_write(kind, "r", {"B": 3, "C": 4}))

    assert await subject.tables.read(table, "p", "r") == Row("p", "r", expected, etag)


@pytest.mark.parametrize("kind", [Write.INSERT_OR_REPLACE, Write.INSERT_OR_MERGE])
async def test_an_upsert_needs_no_row(subject, kind):
    table = await subject.a_table()

    etag = await subject.tables.write(table, a_write(kind, "r", {"A": 1}))

    assert await subject.tables.read(table, "p", "r") == Row("p", "r", {"A": 1}, etag)


async def test_a_merge_may_change_a_columns_type(subject):
    table = await subject.a_table()
    await insert(subject, table, Row("p", "r", {"A": 1}))

    await subject.tables.write(table, a_write(Write.MERGE, "r", {"A": Utc("2024-01-01T00:00:00Z")}))

    assert (await subject.tables.read(table, "p", "r")).columns == {"A": "2024-01-01T00:00:00Z"}


async def test_every_write_gives_a_new_etag(subject):
    table = await subject.a_table()
    etags = await insert(subject, table, Row("p", "r", {"A": 1}))

    for kind in (Write.MERGE, Write.REPLACE, Write.INSERT_OR_MERGE, Write.INSERT_OR_REPLACE):
        etags.append(await subject.tables.write(table, a_write(kind, "r", {"A": 1})))

    assert len(set(etags)) == 5
    assert (await subject.tables.read(table, "p", "r")).etag == etags[-1]
    assert await subject.tables.write(table, a_write(Write.DELETE)) is None


@pytest.mark.parametrize("kind", [Write.REPLACE, Write.MERGE, Write.DELETE])
async def test_a_conditional_write_needs_the_newest_etag(subject, kind):
    table = await subject.a_table()
    [old] = await insert(subject, table, Row("p", "r", {"A": 1}))
    new = await subject.tables.write(table, a_write(Write.MERGE, "r", {"A": 2}))

    with pytest.raises(RowChanged):
        await subject.tables.write(table, a_write(kind, "r", {"A": 3}, if_match=old))
    unchanged = await subject.tables.read(table, "p", "r")
    await subject.tables.write(table, a_write(kind, "r", {"A": 4}, if_match=new))

    assert unchanged == Row("p", "r", {"A": 2}, new)
    after = await subject.tables.read(table, "p", "r")
    assert after is None if kind is Write.DELETE else after.columns == {"A": 4}


async def test_a_row_that_is_made_again_does_not_match_its_old_etag(subject):
    table = await subject.a_table()
    [old] = await insert(subject, table, Row("p", "r", {"A": 1}))
    await subject.tables.write(table, a_write(Write.DELETE))
    await insert(subject, table, Row("p", "r", {"A": 1}))

    with pytest.raises(RowChanged):
        await subject.tables.write(table, a_write(Write.MERGE, "r", {"A": 2}, if_match=old))


async def test_of_two_conditional_writes_at_once_one_wins(subject):
    table = await subject.a_table()
    [etag] = await insert(subject, table, Row("p", "r", {"A": 0}))

    outcomes = await asyncio.gather(
        *(
            subject.tables.write(table, a_write(Write.MERGE, "r", {"A": number}, if_match=etag))
            for number in range(1, 6)
        ),
        return_exceptions=True,
    )

    won = [number for number, outcome in enumerate(outcomes, 1) if isinstance(outcome, str)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RowChanged"] * 4 + ["str"]
    assert (await subject.tables.read(table, "p", "r")).columns == {"A": won[0]}


# ---- sizes


@pytest.mark.parametrize("character", ["x", "日", "\U0001f600"])
async def test_a_column_may_have_32_ki_units_and_not_one_more(subject, character):
    table = await subject.a_table()
    units = len(character.encode("utf-16-le")) // 2
    largest = character * (32_768 // units)

    await insert(subject, table, Row("p", "r", {"A": largest}))
    with pytest.raises(StorageRefused, match="column A has 32769 UTF-16 units"):
        await insert(subject, table, Row("p", "r2", {"A": largest + "x"}))

    assert (await subject.tables.read(table, "p", "r")).columns == {"A": largest}


async def test_a_row_may_have_one_mib_and_no_more(subject):
    table = await subject.a_table()
    columns = {f"C{number:02}": "x" * 32_000 for number in range(16)}

    await insert(subject, table, Row("p", "r", columns))
    with pytest.raises(StorageRefused, match="limit is 1048576"):
        await insert(subject, table, Row("p", "r2", {**columns, "D": "x" * 32_000}))

    assert (await subject.tables.read(table, "p", "r")).columns == columns


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
async def test_a_number_beyond_64_bits_is_refused(subject, value):
    table = await subject.a_table()

    with pytest.raises(StorageRefused, match="does not fit 64 bits"):
        await insert(subject, table, Row("p", "r", {"A": value}))


async def test_half_a_surrogate_pair_is_refused(subject):
    table = await subject.a_table()

    with pytest.raises(StorageRefused, match="surrogate"):
        await insert(subject, table, Row("p", "r", {"A": "\ud83d"}))


# ---- batches


async def test_a_batch_carries_out_every_kind_of_write(subject):
    table = await subject.a_table()
    old = dict(zip("bcdef", await insert(subject, table, *(Row("p", key, {"Old": 1}) for key in "bcdef")), strict=True))

    etags = await subject.tables.batch(
        table,
        [
            a_write(Write.INSERT, "a", {"New": 2}),
            a_write(Write.REPLACE, "b", {"New": 2}, if_match=old["b"]),
            a_write(Write.MERGE, "c", {"New": 2}, if_match=old["c"]),
            a_write(Write.INSERT_OR_REPLACE, "d", {"New": 2}),
            a_write(Write.INSERT_OR_MERGE, "e", {"New": 2}),
            a_write(Write.DELETE, "f", if_match=old["f"]),
        ],
    )

    rows = (await subject.tables.query(table, Where("PartitionKey", EQ, "p"))).rows
    assert {row.row_key: dict(row.columns) for row in rows} == {
        "a": {"New": 2},
        "b": {"New": 2},
        "c": {"Old": 1, "New": 2},
        "d": {"New": 2},
        "e": {"Old": 1, "New": 2},
    }
    assert [row.etag for row in rows] == etags[:5]
    assert etags[5] is None


@pytest.mark.parametrize(
    ("losing", "error"),
    [
        (a_write(Write.INSERT, "there", {"N": 9}), RowExists),
        (a_write(Write.REPLACE, "absent", {"N": 9}), RowNotFound),
        (a_write(Write.MERGE, "absent", {"N": 9}), RowNotFound),
        (a_write(Write.DELETE, "absent"), RowNotFound),
        (a_write(Write.MERGE, "there", {"N": 9}, if_match="stale"), RowChanged),
        (a_write(Write.REPLACE, "there", {"N": 9}, if_match="stale"), RowChanged),
        (a_write(Write.DELETE, "there", if_match="stale"), RowChanged),
    ],
    ids=["exists", "no replace", "no merge", "no delete", "stale merge", "stale replace", "stale delete"],
)
@pytest.mark.parametrize("place", ["first", "last"])
async def test_a_batch_with_one_refused_write_stores_nothing(subject, losing, error, place):
    table = await subject.a_table()
    [stale] = await insert(subject, table, Row("p", "there", {"N": 0}))
    etag = await subject.tables.write(table, a_write(Write.MERGE, "there", {"N": 1}))
    if losing.if_match == "stale":
        losing = TableWrite(losing.kind, losing.row, stale)
    good = [a_write(Write.INSERT_OR_REPLACE, "new", {"N": 2}), a_write(Write.INSERT, "newer", {"N": 3})]

    with pytest.raises(error):
        await subject.tables.batch(table, [losing, *good] if place == "first" else [*good, losing])

    assert await keys(subject, table) == [("p", "there")]
    assert await subject.tables.read(table, "p", "there") == Row("p", "there", {"N": 1}, etag)


async def test_the_etag_of_a_batch_is_good_for_the_next(subject):
    table = await subject.a_table()
    [_, etag] = await subject.tables.batch(
        table, [a_write(Write.INSERT_OR_REPLACE, "0", {"N": 0}), a_write(Write.INSERT, "sentinel", {"E": "x"})]
    )

    [_, next_etag] = await subject.tables.batch(
        table,
        [
            a_write(Write.INSERT_OR_REPLACE, "1", {"N": 1}),
            a_write(Write.MERGE, "sentinel", {"Done": True}, if_match=etag),
        ],
    )

    assert await subject.tables.read(table, "p", "sentinel") == Row(
        "p", "sentinel", {"E": "x", "Done": True}, next_etag
    )


async def test_a_batch_has_up_to_100_writes(subject):
    table = await subject.a_table()
    hundred = [a_write(Write.INSERT, f"{number:03}", {"N": number}) for number in range(100)]

    etags = await subject.tables.batch(table, hundred)

    assert len(etags) == 100
    assert await row_keys(subject, table) == [f"{number:03}" for number in range(100)]
    with pytest.raises(StorageRefused, match="not 101"):
        await subject.tables.batch(table, [*hundred, a_write(Write.INSERT, "100")])
    with pytest.raises(StorageRefused, match="not 0"):
        await subject.tables.batch(table, [])


async def test_a_batch_is_for_one_partition_and_names_each_row_once(subject):
    table = await subject.a_table()

    with pytest.raises(StorageRefused, match="one partition key"):
        await subject.tables.batch(table, [a_write(Write.INSERT), a_write(Write.INSERT, partition_key="other")])
    with pytest.raises(StorageRefused, match="each row once"):
        await subject.tables.batch(table, [a_write(Write.INSERT), a_write(Write.MERGE)])

    assert await keys(subject, table) == []


async def test_a_batch_of_large_rows_goes_through_up_to_four_mib(subject):
    table = await subject.a_table()

    def writes(count):
        return [
            a_write(Write.INSERT_OR_REPLACE, f"{number:03}", {"A": "x" * 32_000, "B": "y" * 8_000})
            for number in range(count)
        ]

    await subject.tables.batch(table, writes(90))
    with pytest.raises(StorageRefused, match="4194304"):
        await subject.tables.batch(
            table, [*writes(99), a_write(Write.INSERT, "z", dict.fromkeys("ABCDEFGH", "z" * 32_768))]
        )

    assert len(await row_keys(subject, table)) == 90


# ---- queries


async def test_a_query_returns_rows_in_order_of_their_keys_by_utf16_unit(subject):
    table = await subject.a_table()
    # U+1F600 begins with the unit D83D, below U+FF5E.
    partition_keys = ["", "A", "Z", "a", "a!", "aa", "b", "é", "日", "\U0001f600", "\uff5e"]
    await insert(subject, table, *(Row(key, "r", {}) for key in reversed(partition_keys)))
    await insert(subject, table, Row("a", "sentinel", {}), Row("a", "0000000000000000", {}), Row("a", "", {}))

    found = await keys(subject, table)

    assert list(dict.fromkeys(partition_key for partition_key, _ in found)) == partition_keys
    assert [row_key for partition_key, row_key in found if partition_key == "a"] == [
        "",
        "0000000000000000",
        "r",
        "sentinel",
    ]


ROWS = (
    Row("a", "1", {"Text": "x", "Number": 1, "Flag": True, "Time": Utc("2024-01-01T00:00:00.1Z")}),
    Row("a", "2", {"Text": "X", "Number": -5, "Flag": False, "Time": Utc("2024-01-01T00:00:00.101Z")}),
    Row("b", "3", {"Text": "it's", "Number": 10, "Time": Utc("2024-01-01T00:00:00Z")}),
    Row("c", "4", {"Text": "", "Number": 2}),
    Row("d", "5", {"Double": 0.5}),
    Row("e", "6", {"Double": 1.5, "Long": 2**40}),
)


@pytest.fixture
async def filled(subject):
    table = await subject.a_table()
    await insert(subject, table, *ROWS)
    return subject, table


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, "123456"),
        (Where("PartitionKey", EQ, "a"), "12"),
        (Where("PartitionKey", EQ, "A"), ""),
        (Where("PartitionKey", NE, "a"), "3456"),
        (Where("PartitionKey", LT, "b"), "12"),
        (Where("PartitionKey", LE, "b"), "123"),
        (Where("PartitionKey", GT, "b"), "456"),
        (Where("PartitionKey", GE, "b"), "3456"),
        (Where("RowKey", EQ, "4"), "4"),
        (Where("RowKey", GE, "4"), "456"),
        (Where("Text", EQ, "x"), "1"),
        (Where("Text", EQ, "it's"), "3"),
        (Where("Text", EQ, ""), "4"),
        (Where("Text", NE, "x"), "234"),
        (Where("Text", GT, "X"), "13"),
        (Where("Number", EQ, -5), "2"),
        (Where("Number", LT, 2), "12"),
        (Where("Number", GE, 2), "34"),
        (Where("Flag", EQ, True), "1"),
        (Where("Flag", EQ, False), "2"),
        (Where("Double", GT, 0.75), "6"),
        (Where("Double", LE, 1.5), "56"),
        (Where("Long", EQ, 2**40), "6"),
        (Where("Long", GT, 2**33), "6"),
        (Where("Time", EQ, Utc("2024-01-01T00:00:00.1Z")), "1"),
        (Where("Time", GT, Utc("2024-01-01T00:00:00Z")), "12"),
        (Where("Time", GT, Utc("2024-01-01T00:00:00.1Z")), "2"),
        (Where("Time", LE, Utc("2024-01-01T00:00:00.1Z")), "13"),
        (Where("Absent", EQ, "x"), ""),
        (Where("Absent", NE, "x"), ""),
        (AllOf((Where("PartitionKey", EQ, "a"), Where("RowKey", EQ, "2"))), "2"),
        (AllOf((Where("PartitionKey", GE, "b"), Where("PartitionKey", LT, "d"))), "34"),
        (AllOf((Where("PartitionKey", GT, "d"), Where("PartitionKey", LT, "b"))), ""),
        (AllOf((Where("Number", GE, 1), Where("Number", LE, 2))), "14"),
        (AllOf((Where("PartitionKey", EQ, "a"),)), "12"),
        (AnyOf((Where("PartitionKey", EQ, "a"), Where("PartitionKey", EQ, "e"))), "126"),
        (AnyOf((Where("PartitionKey", LT, "b"), Where("PartitionKey", GE, "d"))), "1256"),
        (AnyOf((Where("Text", EQ, "x"), Where("Double", EQ, 1.5))), "16"),
        (
            AllOf(
                (
                    Where("PartitionKey", EQ, "a"),
                    AnyOf((Where("RowKey", EQ, "sentinel"), Where("Text", EQ, "X"))),
                )
            ),
            "2",
        ),
        (
            AllOf(
                (
                    Where("Time", GE, Utc("2024-01-01T00:00:00Z")),
                    Where("Time", LE, Utc("2024-12-31T00:00:00Z")),
                    AnyOf((Where("Text", EQ, "x"), Where("Text", EQ, "X"))),
                    Where("PartitionKey", GE, "a"),
                    Where("PartitionKey", LT, "b"),
                )
            ),
            "12",
        ),
    ],
    ids=str,
)
async def test_a_filter_takes_exactly_the_rows_that_it_describes(filled, where, expected):
    subject, table = filled

    assert "".join(await row_keys(subject, table, where)) == expected


async def test_times_compare_to_the_seventh_digit(subject):
    if subject.kind == "azure":
        pytest.skip("Azurite compares times to the millisecond")
    table = await subject.a_table()
    await insert(subject, table, Row("p", "1", {"Time": Utc("2024-01-01T00:00:00.1Z")}))
    await insert(subject, table, Row("p", "2", {"Time": Utc("2024-01-01T00:00:00.1000001Z")}))

    assert await row_keys(subject, table, Where("Time", GT, Utc("2024-01-01T00:00:00.1Z"))) == ["2"]
    assert await row_keys(subject, table, Where("Time", EQ, Utc("2024-01-01T00:00:00.1Z"))) == ["1"]


async def test_a_selection_returns_these_columns_and_always_the_keys_and_the_etag(subject):
    table = await subject.a_table()
    [etag] = await insert(subject, table, Row("p", "r", {"A": 1, "B": 2, "C": Utc("2024-01-01T00:00:00.1234567Z")}))

    page = await subject.tables.query(table, select=["A", "C", "Absent"])

    assert list(page.rows) == [Row("p", "r", {"A": 1, "C": Utc("2024-01-01T00:00:00.1234567Z")}, etag)]


async def test_a_selection_may_name_keys_timestamp_and_etag_as_the_reference_does(subject):
    table = await subject.a_table()
    [etag] = await insert(subject, table, Row("p", "r", {"A": 1, "B": 2}))

    page = await subject.tables.query(table, select=["A", "PartitionKey", "RowKey", "Timestamp", "ETag"])

    assert list(page.rows) == [Row("p", "r", {"A": 1}, etag)]


async def test_pages_of_a_given_size_follow_each_other_without_gap(subject):
    table = await subject.a_table()
    await insert(subject, table, *(Row(f"p{number // 3}", f"{number}", {}) for number in range(8)))

    pages = await all_pages(subject, table, top=3)

    assert max(len(page.rows) for page in pages) == 3
    assert [row.row_key for page in pages for row in page.rows] == list("01234567")


async def test_pages_of_a_filter_follow_each_other_without_gap(subject):
    table = await subject.a_table()
    await insert(subject, table, *(Row("p", f"{number}", {"Even": number % 2 == 0}) for number in range(9)))

    pages = await all_pages(subject, table, Where("Even", EQ, True), top=2)

    assert [row.row_key for page in pages for row in page.rows] == list("02468")


async def test_a_token_is_two_header_values_with_one_blank_between(subject):
    table = await subject.a_table()
    await insert(subject, table, Row("some key", "r s", {}), Row("some key", "t", {}), Row("z", "", {}))

    first = await subject.tables.query(table, top=1)
    second = await subject.tables.query(table, top=1, token=first.token)

    assert len(first.token.split(" ")) == 2
    assert second.token.endswith(" ")
    last = await subject.tables.query(table, top=1, token=second.token.rstrip())
    assert [row.partition_key for row in last.rows] == ["z"]
    assert last.token is None


async def test_a_page_has_at_most_1000_rows(subject):
    table = await subject.a_table()
    for start in range(0, 1_100, 100):
        await subject.tables.batch(
            table, [a_write(Write.INSERT, f"{number:016X}", {"N": number}) for number in range(start, start + 100)]
        )

    first = await subject.tables.query(table, Where("PartitionKey", EQ, "p"))
    second = await subject.tables.query(table, Where("PartitionKey", EQ, "p"), token=first.token)

    assert [len(first.rows), len(second.rows)] == [1_000, 100]
    assert second.token is None
    assert [row.columns["N"] for row in (*first.rows, *second.rows)] == list(range(1_100))


@pytest.mark.parametrize("top", [0, -1, 1_001])
async def test_a_page_size_that_the_service_does_not_know_is_refused(subject, top):
    table = await subject.a_table()

    with pytest.raises(StorageRefused):
        await subject.tables.query(table, top=top)


async def test_what_a_reader_does_to_a_row_stays_with_the_reader(subject):
    table = await subject.a_table()
    columns = {"A": 1}
    await insert(subject, table, Row("p", "r", columns))

    columns["A"] = 2
    dict.update((await subject.tables.read(table, "p", "r")).columns, A=3)

    assert (await subject.tables.read(table, "p", "r")).columns == {"A": 1}
