"""The pages as files: how they lead to each other."""

from __future__ import annotations

import re

import pytest

from instacart_pipeline.serving.part import STATIC

PAGES = {
    "Baskets": ("/", "index.html"),
    "Sales": ("/sales", "sales.html"),
    "Customers": ("/customers", "customers.html"),
}


@pytest.mark.parametrize("name", PAGES)
def test_each_page_leads_to_all_of_them_and_says_which_it_is(name: str) -> None:
    address, file = PAGES[name]
    text = (STATIC / file).read_text(encoding="utf-8")
    (links,) = re.findall(r"<nav aria-label=\"Pages\">(.*)</nav>", text)
    assert re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', links) == [(to, said) for said, (to, _) in PAGES.items()]
    assert re.findall(r'href="([^"]+)" aria-current="page"', text) == [address]
