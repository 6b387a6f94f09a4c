"""The lookup tables on this machine under faults: a full disk, removed and damaged files, forks; and what expires."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from instacart_pipeline.resources.local_machine.sqlite_file import FileDamaged
from instacart_pipeline.resources.lookup_tables import LookupsBusy, LookupTable
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline_tests.resources.disks import Disk

LINES = LookupTable("lines", "invoice", "line", indexes={"by_product": ("product", "line")})
ANSWERS = LookupTable("answers", "id", expires="expires")


def lines(count: int, said: str = "") -> list[dict[str, str | int | bool]]:
    return [{"invoice": "1", "line": f"{n:05}", "product": f"{n % 3}", "said": said} for n in range(count)]


def test_on_a_full_disk_a_put_fails_whole_and_everything_goes_on_once_there_is_room(small_disk: Disk) -> None:
    tables = SqliteLookupTables(home=str(small_disk.path))
    tables.put(LINES, lines(10))
    small_disk.fill()
    with pytest.raises(LookupsBusy, match=r"lines.sqlite can't be written: .* Make room on its disk, then go on."):
        tables.put(LINES, lines(9000, "x" * 1000))
    assert tables.all_of(LINES, "1") == lines(10)
    assert tables.get(LINES, "1", "00003") == lines(10)[3]
    small_disk.free()
    tables.put(LINES, lines(500, "y"))
    assert tables.all_of(LINES, "1") == lines(500, "y")
    assert len(tables.all_of(LINES, "2", index="by_product")) == 166


def test_tables_whose_folder_was_removed_begin_anew(tmp_path: Path) -> None:
    tables = SqliteLookupTables(home=str(tmp_path))
    tables.put(LINES, lines(5))
    shutil.rmtree(tmp_path / "lookups")
    assert tables.count(LINES) == 0
    tables.put(LINES, lines(2))
    assert SqliteLookupTables(home=str(tmp_path)).all_of(LINES, "1") == lines(2)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "lookups").mkdir()
    (tmp_path / "lookups" / "lines.sqlite").write_bytes(b"no database at all, but text" * 1000)
    tables = SqliteLookupTables(home=str(tmp_path))
    with pytest.raises(FileDamaged, match=r"lines.sqlite is damaged: .* Move it aside"):
        tables.put(LINES, lines(1))
    with pytest.raises(FileDamaged):
        tables.get(LINES, "1", "00000")


@pytest.mark.usefixtures("child_processes")
def test_a_forked_child_opens_files_of_its_own(tmp_path: Path) -> None:
    tables = SqliteLookupTables(home=str(tmp_path))
    tables.put(LINES, lines(1))
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            tables.put(LINES, lines(3))
            os._exit(0)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert tables.all_of(LINES, "1") == lines(3)


def test_of_several_processes_that_put_at_once_none_loses_an_item(
    tmp_path: Path, child_processes: ForkServerContext
) -> None:
    writers = [child_processes.Process(target=_put_apart, args=(tmp_path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = SqliteLookupTables(home=str(tmp_path)).all_of(LINES, "1")
    assert [item["line"] for item in found] == [f"{number:05}" for number in range(90)]


def _put_apart(home: Path, writer: int) -> None:
    tables = SqliteLookupTables(home=str(home))
    for line in lines(90)[writer::3]:
        tables.put(LINES, [line])


def test_expired_items_go_with_later_puts(tmp_path: Path) -> None:
    tables, now = SqliteLookupTables(home=str(tmp_path)), int(time.time())
    tables.put(ANSWERS, [{"id": f"old-{n}", "expires": now - 10} for n in range(150)])
    tables.put(ANSWERS, [{"id": "for ever"}, {"id": "later", "expires": now + 1000}])
    assert tables.put_if_new(ANSWERS, {"id": "old-0", "expires": now + 1000})
    assert {str(item["id"]) for item in tables.scan(ANSWERS).items} == {"for ever", "later", "old-0"}


def test_an_item_that_is_put_again_unchanged_is_not_written_again(tmp_path: Path) -> None:
    tables = SqliteLookupTables(home=str(tmp_path))
    tables.put(LINES, lines(2000, "x" * 500))
    written = (tmp_path / "lookups" / "lines.sqlite-wal").stat().st_size
    tables.put(LINES, lines(2000, "x" * 500))
    assert (tmp_path / "lookups" / "lines.sqlite-wal").stat().st_size == written
