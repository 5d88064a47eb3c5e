import random

from taskhub.runtime.paging import pages_of, rows_if_any
from taskhub.storage.faults import FaultInjector, FaultRates
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.virtual_hub import VirtualHub


def test_pages_that_are_short_lose_no_row():
    hub = VirtualHub()

    async def main(hub):
        faults = FaultInjector(FaultRates(short_page=1), random.Random(1), hub.sleep)
        tables = faults.wrap(hub.storage).tables
        await tables.create_table("Rows")
        for number in range(9):
            await tables.write("Rows", TableWrite(Write.INSERT, Row("p", f"{number}", {})))
        pages = [page async for page in pages_of(tables, "Rows")]
        return len(pages), [row.row_key async for row in rows_if_any(tables, "Rows")]

    pages, rows = hub.run(main)

    assert pages > 1
    assert rows == [f"{number}" for number in range(9)]


def test_a_table_that_is_not_there_has_no_rows():
    hub = VirtualHub()

    async def main(hub):
        return [row async for row in rows_if_any(hub.storage.tables, "Nowhere")]

    assert hub.run(main) == []
