import os

from taskhub.host.receipt_file import MAX_IDLE_LINES, ReceiptFile
from taskhub.runtime.receipts import Receipt


def receipt(number, text="r1"):
    return Receipt(f"hub-control-0{number % 4}", f"m{number}", text)


def test_what_was_taken_and_not_let_go_is_left_for_the_next_process(tmp_path):
    first = ReceiptFile(tmp_path / "receipts")
    first.took(receipt(1))
    first.took(receipt(2))
    first.took(receipt(2, "renewed"))
    first.took(receipt(3))
    first.gone("m1")
    first.gone("m9")

    second = ReceiptFile(tmp_path / "receipts")

    assert list(first.left()) == []
    assert list(second.left()) == [receipt(2, "renewed"), receipt(3)]


def test_what_was_left_stays_left_until_it_is_let_go(tmp_path):
    ReceiptFile(tmp_path / "receipts").took(receipt(1))
    ReceiptFile(tmp_path / "receipts")

    third = ReceiptFile(tmp_path / "receipts")
    third.gone("m1")

    assert list(third.left()) == [receipt(1)]
    assert list(ReceiptFile(tmp_path / "receipts").left()) == []


def test_a_line_that_was_not_finished_does_not_count(tmp_path):
    path = tmp_path / "receipts"
    first = ReceiptFile(path)
    first.took(receipt(1))
    first.took(receipt(2))
    os.truncate(path, path.stat().st_size - 3)

    assert list(ReceiptFile(path).left()) == [receipt(1)]


def test_the_file_stays_small_however_much_goes_through_it(tmp_path):
    path = tmp_path / "receipts"
    receipts = ReceiptFile(path)
    receipts.took(receipt(0, "kept"))
    for number in range(1, 3 * MAX_IDLE_LINES):
        receipts.took(receipt(number))
        receipts.gone(f"m{number}")

    assert len(path.read_text().splitlines()) <= MAX_IDLE_LINES + 4
    assert list(ReceiptFile(path).left()) == [receipt(0, "kept")]


def test_a_file_that_cannot_be_used_costs_a_warning(tmp_path, caplog):
    receipts = ReceiptFile(tmp_path / "no folder" / "receipts")
    receipts.took(receipt(1))
    receipts.gone("m1")

    assert list(receipts.left()) == []
    assert "cannot be used" in caplog.text


def test_only_its_owner_may_read_it(tmp_path):
    ReceiptFile(tmp_path / "receipts").took(receipt(1))

    assert (tmp_path / "receipts").stat().st_mode & 0o777 == 0o600
