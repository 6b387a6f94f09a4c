"""What the lookup tables promise, whichever backend: items by their key, pages both ways, indexes, conditional puts."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import Any

import pytest

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.lookup_tables import LookupTable, LookupTables, Value
from instacart_pipeline_tests.resources.streams import BY_COLOUR, LookupsBackend, eventually, settles

ODD_KEYS = [
    "a#b",
    "C536379",
    "größe",
    "🍎",
    "a b",
    "'quoted'",
    '"',
    "%_\\",
    "null",
    "0",
    "17850.0",
    "x" * 900,
    "\t\n",
    "a\u0000b",
]


def thing(place: str, box: str = "box", **more: Value) -> dict[str, Value]:
    return {"box": box, "place": place, **more}


def places(items: Any) -> list[Value]:
    return [item["place"] for item in items]


def paged(lookups: LookupTables, table: LookupTable, partition: str, *, limit: int, **how: Any) -> list[Value]:
    """The places of all pages of a query. The last page may be empty."""
    found: list[Value] = []
    after, begun = "", False
    while after or not begun:
        page = lookups.query(table, partition, after=after, limit=limit, **how)
        assert len(page.items) <= limit
        found += places(page.items)
        after, begun = page.after, True
    return found


def mixed(numbers: range) -> list[int]:
    """Numbers in no order, the same every time."""
    return sorted(numbers, key=lambda number: number * 7919 % 4999)


def scanned(lookups: LookupTables, table: LookupTable, limit: int = 1000) -> list[dict[str, Value]]:
    items: list[dict[str, Value]] = []
    after, begun = "", False
    while after or not begun:
        page = lookups.scan(table, after=after, limit=limit)
        assert len(page.items) <= limit
        items += page.items
        after, begun = page.after, True
    return items


# Items by their key.


def test_an_item_comes_back_as_it_was_put(
    lookups_backend: LookupsBackend, things: LookupTable, plain: LookupTable
) -> None:
    item = thing(
        "1", text="é🍎\"'\n", number=-5, large=2**53 + 1, yes=True, no=False, zero=0, amount="15.3000", empty=""
    )
    lookups_backend.open().put(things, [item])
    found = lookups_backend.open().get(things, "box", "1")
    assert found == item
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in item.items()}
    lookups_backend.open().put(plain, [{"id": "1", "what": "x"}])
    assert lookups_backend.open().get(plain, "1") == {"id": "1", "what": "x"}


def test_what_is_not_there_is_none_and_an_empty_page(
    lookups: LookupTables, things: LookupTable, plain: LookupTable
) -> None:
    lookups.put(things, [thing("1")])
    assert lookups.get(things, "box", "2") is None
    assert lookups.get(things, "other", "1") is None
    assert lookups.get(plain, "box") is None
    for page in (lookups.query(things, "other"), lookups.query(things, "red", index=BY_COLOUR), lookups.scan(plain)):
        assert (list(page.items), page.after) == ([], "")
    assert lookups.count(plain) == 0


def test_keys_may_hold_any_character(lookups: LookupTables, things: LookupTable) -> None:
    def of(key: str) -> list[dict[str, Value]]:
        return [thing(place, box=key, colour=key, weight="1") for place in (key, f"{key}x")]

    lookups.put(things, [thing("other", box="other"), *(item for key in ODD_KEYS for item in of(key))])
    for key in ODD_KEYS:
        assert lookups.get(things, key, key) == of(key)[0]
        assert paged(lookups, things, key, limit=1) == [key, f"{key}x"]
        settles(partial(_colours, lookups, things, key), sorted([key, f"{key}x"]))
    lookups.delete(things, [(key, key) for key in ODD_KEYS])
    for key in ODD_KEYS:
        assert places(lookups.all_of(things, key)) == [f"{key}x"]


def _colours(lookups: LookupTables, things: LookupTable, colour: str) -> list[str]:
    return sorted(str(place) for place in places(lookups.all_of(things, colour, index=BY_COLOUR)))


def test_the_items_of_keys_are_counted_up_to_a_limit(lookups: LookupTables, things: LookupTable) -> None:
    boxes = {key: number for number, key in enumerate(ODD_KEYS)}
    lookups.put(things, [thing(f"{place}", box=key) for key, number in boxes.items() for place in range(number)])
    assert lookups.sizes(things, [*boxes, "none", ODD_KEYS[1]], 100) == {**boxes, "none": 0}
    assert lookups.sizes(things, list(boxes), 3) == {key: min(number, 3) for key, number in boxes.items()}
    assert lookups.sizes(things, [], 3) == {}


def test_an_item_put_again_takes_the_place_of_the_first_whole(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(things, [thing("1", colour="red", weight="1", more=1)])
    lookups.put(things, [thing("1", colour="blue", weight="2")])
    assert lookups.get(things, "box", "1") == thing("1", colour="blue", weight="2")
    settles(lambda: places(lookups.all_of(things, "blue", index=BY_COLOUR)), ["1"])
    settles(lambda: lookups.all_of(things, "red", index=BY_COLOUR), [])
    lookups.put(things, [thing("1")])
    settles(lambda: lookups.all_of(things, "blue", index=BY_COLOUR), [])
    assert lookups.count(things) == 1


def test_of_several_items_with_one_key_the_last_stays(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(things, [thing(str(n % 7), number=n) for n in range(70)])
    assert sorted(item["number"] for item in lookups.all_of(things, "box")) == list(range(63, 70))


def test_items_may_come_from_a_generator_and_be_none(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(things, (thing(str(n)) for n in range(3)))
    lookups.put(things, [])
    lookups.put_if_greater(things, [], "number")
    lookups.delete(things, [])
    assert lookups.count(things) == 3


def test_deleted_items_are_gone_and_deleting_them_again_is_no_error(
    lookups: LookupTables, things: LookupTable, plain: LookupTable
) -> None:
    lookups.put(things, [thing(f"{n:02}", colour="red", weight="1") for n in range(60)])
    gone = [("box", f"{n:02}") for n in range(1, 60)]
    for _ in range(2):
        lookups.delete(things, [*gone, ("never", "1")])
        assert places(lookups.all_of(things, "box")) == ["00"]
        settles(lambda: places(lookups.all_of(things, "red", index=BY_COLOUR)), ["00"])
    lookups.put(plain, [{"id": "1"}, {"id": "2"}])
    lookups.delete(plain, [("1", "")])
    assert lookups.scan(plain).items == [{"id": "2"}]


# Pages.


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_follow_each_other_in_the_order_of_the_sort_key(
    lookups: LookupTables, things: LookupTable, limit: int
) -> None:
    order = ["0", "1", "10", "2", "A", "a"]
    lookups.put(things, [thing(place) for place in reversed(order)] + [thing("5", box="boy"), thing("5", box="bo")])
    for descending in (False, True):
        found = paged(lookups, things, "box", limit=limit, descending=descending)
        assert found == (order[::-1] if descending else order)


def test_sort_keys_lie_in_the_order_of_their_bytes(lookups: LookupTables, things: LookupTable) -> None:
    given = [
        "Z",
        "a",
        "é",
        "z",
        "zz",
        "\U0001f34e",
        "\uffee",
        "-",
        "2010-12-01 08:26:00#a-1",
        "2010-12-01 08:26:00#a-10",
    ]
    lookups.put(things, [thing(place) for place in given])
    assert places(lookups.all_of(things, "box")) == sorted(given, key=str.encode)


@pytest.mark.parametrize(("limit", "descending"), [(1, True), (5, False), (12, True)])
def test_items_that_tie_in_an_index_are_paged_without_loss_or_repeat(
    lookups: LookupTables, things: LookupTable, limit: int, descending: bool
) -> None:
    given = [thing(f"{n}", box=f"box-{n % 3}", colour="red", weight="12"[n > 9]) for n in range(12)]
    lookups.put(things, [*given, thing("no-weight", colour="red"), thing("blue", colour="blue", weight="1")])
    settles(lambda: len(lookups.all_of(things, "red", index=BY_COLOUR)), 12)
    found = paged(lookups, things, "red", index=BY_COLOUR, limit=limit, descending=descending)
    assert sorted(found) == sorted(places(given))
    heavy = {"10", "11"}
    assert set(found[:2] if descending else found[-2:]) == heavy


def test_an_item_without_an_attribute_of_an_index_is_not_in_it(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(
        things, [thing("1", colour="red", weight="1"), thing("2", colour="red"), thing("3", weight="1"), thing("4")]
    )
    settles(lambda: places(lookups.query(things, "red", index=BY_COLOUR).items), ["1"])
    assert places(lookups.query(things, "box").items) == ["1", "2", "3", "4"]


def test_an_index_gives_whole_items(lookups: LookupTables, things: LookupTable) -> None:
    item = thing("1", colour="red", weight="1", more=True, number=5)
    lookups.put(things, [item])
    settles(lambda: lookups.all_of(things, "red", index=BY_COLOUR), [item])


def test_items_put_while_paging_do_not_disturb_the_ones_there(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(things, [thing(f"{n}") for n in range(0, 10, 2)])
    first = lookups.query(things, "box", limit=2)
    lookups.put(things, [thing("1"), thing("5")])
    lookups.delete(things, [("box", "2")])
    rest = lookups.query(things, "box", after=first.after, limit=10)
    assert (places(first.items), places(rest.items)) == (["0", "2"], ["4", "5", "6", "8"])


NO_PLACES = [
    "nonsense",
    "é",
    "=",
    "W10=",
    base64.urlsafe_b64encode(b'["a"]').decode(),
    base64.urlsafe_b64encode(b"{}").decode(),
    " ",
    "\ud800",
]


@pytest.mark.parametrize("index", ["", BY_COLOUR])
def test_a_place_that_no_page_gave_is_refused(lookups: LookupTables, things: LookupTable, index: str) -> None:
    lookups.put(things, [thing("1", colour="red", weight="1")])
    for after in NO_PLACES:
        with pytest.raises(InputInvalid):
            lookups.query(things, "box", after=after, index=index)


def test_a_place_of_another_index_or_partition_is_refused(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(things, [thing(f"{n}", colour="box", weight="1") for n in range(3)])
    of_index = eventually(lambda: lookups.query(things, "box", index=BY_COLOUR, limit=1).after)
    of_table = lookups.query(things, "box", limit=1).after
    with pytest.raises(InputInvalid):
        lookups.query(things, "box", after=of_index, limit=1)
    with pytest.raises(InputInvalid):
        lookups.query(things, "box", after=of_table, index=BY_COLOUR, limit=1)
    with pytest.raises(InputInvalid):
        lookups.query(things, "boy", after=of_table, limit=1)


def test_a_large_partition_is_paged_whole(lookups: LookupTables, things: LookupTable) -> None:
    numbers = mixed(range(60))
    said = "x" * 40_000  # 2.4 MB in all: an answer of DynamoDB holds 1 MB at most
    lookups.put(things, [thing(f"{n:02}", said=said, colour="red", weight=f"{n % 10}") for n in numbers])
    expected = [f"{n:02}" for n in range(60)]
    assert places(lookups.all_of(things, "box")) == expected
    assert paged(lookups, things, "box", limit=50, descending=True) == expected[::-1]
    settles(partial(_colours, lookups, things, "red"), expected)
    assert lookups.count(things) == 60
    assert sorted(places(scanned(lookups, things))) == expected


def test_a_scan_meets_every_item_once(lookups: LookupTables, things: LookupTable, plain: LookupTable) -> None:
    lookups.put(things, [thing(f"{n}", box=f"box-{n % 9}") for n in range(100)])
    assert sorted(places(scanned(lookups, things, limit=7)), key=str) == sorted(str(n) for n in range(100))
    lookups.put(plain, [{"id": f"{n}"} for n in range(10)])
    assert sorted(str(item["id"]) for item in scanned(lookups, plain, limit=5)) == [f"{n}" for n in range(10)]
    assert (lookups.count(things), lookups.count(plain)) == (100, 10)


# Conditional puts.


def test_an_item_is_new_once(lookups: LookupTables, things: LookupTable, plain: LookupTable) -> None:
    assert lookups.put_if_new(things, thing("1", number=1))
    assert not lookups.put_if_new(things, thing("1", number=2))
    assert lookups.put_if_new(things, thing("2"))
    assert lookups.get(things, "box", "1") == thing("1", number=1)
    assert [lookups.put_if_new(plain, {"id": "1", "by": by}) for by in "ab"] == [True, False]
    lookups.delete(plain, [("1", "")])
    assert lookups.put_if_new(plain, {"id": "1", "by": "c"})


def test_of_many_threads_one_puts_the_new_item(lookups: LookupTables, plain: LookupTable) -> None:
    for key in ("a", "b", "c"):
        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(lookups.put_if_new, repeat(plain), [{"id": key, "by": by} for by in range(8)]))
        assert won.count(True) == 1
        assert lookups.get(plain, key) == {"id": key, "by": won.index(True)}


def test_the_greatest_item_stays_whatever_the_order(lookups: LookupTables, things: LookupTable) -> None:
    def put(number: int, said: str) -> None:
        lookups.put_if_greater(things, [thing("1", number=number, said=said)], "number")

    for number, said, stays in [
        (5, "a", "a"),
        (4, "b", "a"),
        (5, "c", "a"),
        (10, "d", "d"),
        (9, "e", "d"),
        (-1, "f", "d"),
    ]:
        put(number, said)
        item = lookups.get(things, "box", "1")
        assert item is not None
        assert item["said"] == stays
    numbers = mixed(range(-50, 50))
    lookups.put_if_greater(things, [thing(str(n % 7), box="many", number=n) for n in numbers], "number")
    assert sorted(item["number"] for item in lookups.all_of(things, "many")) == list(range(43, 50))


def test_an_item_without_the_attribute_gives_way(lookups: LookupTables, things: LookupTable) -> None:
    lookups.put(things, [thing("1", said="old", colour="red", weight="1")])
    lookups.put_if_greater(things, [thing("1", number=-(10**12), said="new", colour="blue", weight="1")], "number")
    assert lookups.get(things, "box", "1") == thing("1", number=-(10**12), said="new", colour="blue", weight="1")
    settles(lambda: places(lookups.all_of(things, "blue", index=BY_COLOUR)), ["1"])
    settles(lambda: lookups.all_of(things, "red", index=BY_COLOUR), [])


def test_of_many_writers_at_once_none_loses_an_item_and_the_greatest_stays(
    lookups_backend: LookupsBackend, things: LookupTable
) -> None:
    def grow(writer: int) -> None:
        """Put every third number to 29 as a thing of its own, and as the number of the things a, b and c."""
        lookups = lookups_backend.open()
        for number in range(writer, 30, 3):
            lookups.put_if_greater(things, [thing(place, number=number, by=writer) for place in "abc"], "number")
            lookups.put(things, [thing(f"{number}", box="put")])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(grow, range(3)))
    lookups = lookups_backend.open()
    assert [(item["number"], item["by"]) for item in lookups.all_of(things, "box")] == [(29, 2)] * 3
    assert sorted(places(lookups.all_of(things, "put")), key=lambda place: int(str(place))) == [
        str(n) for n in range(30)
    ]
