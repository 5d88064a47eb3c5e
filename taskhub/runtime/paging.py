"""Rows of a table, page after page: one that is short, or empty, need not be the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.errors import TableNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from taskhub.storage.port import Filter, Row, TableStore


async def pages_of(
    tables: TableStore, table: str, where: Filter | None = None, *, select: Sequence[str] | None = None
) -> AsyncIterator[Sequence[Row]]:
    """Yield the pages of a query; the arguments are those of :meth:`~taskhub.storage.port.TableStore.query`.

    Raises:
        TableNotFound: the table does not exist.
    """
    token: str | None = None
    while True:
        page = await tables.query(table, where, select=select, token=token)
        yield page.rows
        token = page.token
        if token is None:
            return


async def rows_if_any(
    tables: TableStore, table: str, where: Filter | None = None, *, select: Sequence[str] | None = None
) -> AsyncIterator[Row]:
    """Yield the rows of a query, as :func:`pages_of`; a table that does not exist has none."""
    try:
        async for page in pages_of(tables, table, where, select=select):
            for row in page:
                yield row
    except TableNotFound:
        return
