"""Locations as records keep them: relative to the home (the folder of everything on this machine), so that a home can be moved, copied or restored.

Belongs here: turning a location into what is kept and back, as text. Doesn't: any record (the local backends of the catalog, the registry, ...).
"""

from __future__ import annotations

import re

_OF_ANY_HOME = re.compile(r".*/(lake/(?:raw|staging|curated|features|sandbox|models)/.+)", re.DOTALL)


def kept(home: str, location: str) -> str:
    """A location as its records keep it: relative if it is below `home`."""
    return location.removeprefix(f"{home}/")


def located(home: str, record: str) -> str:
    """Where a recorded location is, now that the home is at `home`.

    Records of older versions of this project hold whole paths, of wherever the home was then: the same place below `home` is meant.
    """
    if not record.startswith("/"):
        return f"{home}/{record}"
    old = _OF_ANY_HOME.fullmatch(record)
    return f"{home}/{old[1]}" if old else record
