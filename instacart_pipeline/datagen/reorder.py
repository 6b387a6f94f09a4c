"""Generates Instacart-shaped uploads of any size, for one day or several on end.

Belongs here: the entry, its checks, and the spreading of work over processes. How people behave is in
reorder_people.py, what is on the shelves in reorder_catalogue.py, the files in reorder_files.py.
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.datagen import reorder_calibration as real
from instacart_pipeline.datagen.reorder_catalogue import Shelves, build_catalogue
from instacart_pipeline.datagen.reorder_files import dump_of, number_orders, write_day
from instacart_pipeline.datagen.reorder_people import CHUNK_USERS, Chunk, Histories, simulate_chunk
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid

_CHUNKS_WORTH_A_PROCESS = 4
_MOST_WORKERS = 8
_SIMULATED = 0.6
"""Share of the time of a one-day run that is spent before the first file is written."""


@dataclass(frozen=True)
class DayUpload:
    """One day's folder of six files, and how much is in it."""

    day: date
    folder: Path
    users: int
    products: int
    orders: int
    prior_lines: int
    train_lines: int


def generate_reorder(
    out: Path,
    *,
    scale: float = 1.0,
    days: int = 1,
    seed: int = 7,
    first_day: date,
    progress: Callable[[str, float], None] | None = None,
    workers: int | None = None,
) -> list[DayUpload]:
    """Writes `out`/YYYY-MM-DD/ for `days` days from `first_day` on, each the whole history up to that day.

    Scale 1 is 206,209 users with about 3.4 million orders of about 33 million lines, and 49,688 products. Users shrink
    with the scale (never below 20), products with its square root (never below 500). The same scale, seed and
    first day give the same bytes, whatever `workers` (default: one a CPU) is, and more days change nothing in the
    earlier ones. `progress` hears what is being done and how much of everything is, from 0 to 1.

    Raises: SettingsInvalid for a scale or number of days that makes no sense; PipelineError if a day's folder already
    holds something. Either way before anything is written.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise SettingsInvalid(
            f"scale={scale}: it must be above 0. 1 is the full size (206,209 users), 0.01 a small try."
        )
    if days < 1:
        raise SettingsInvalid(f"days={days}: there must be at least 1 day to generate.")
    if seed < 0:
        raise SettingsInvalid(f"seed={seed}: it must be 0 or above.")
    folders = [out / (first_day + timedelta(days=d)).isoformat() for d in range(days)]
    for folder in folders:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise PipelineError(
                f"{folder} already exists and is not an empty folder; nothing was generated. "
                "Remove it, or generate into another folder."
            )
    tell = progress or (lambda _what, _share: None)
    out.mkdir(parents=True, exist_ok=True)

    users = max(real.SMALLEST_USERS, round(real.FULL_USERS * scale))
    catalogue = build_catalogue(scale, seed)
    first_dow = (first_day.weekday() + 2) % 7  # order_dow 0 is Saturday
    simulated = _SIMULATED / (_SIMULATED + (1 - _SIMULATED) * days)
    parts: list[Histories] = []
    chunks = math.ceil(users / CHUNK_USERS)
    tasks = [Chunk(seed, c, min(CHUNK_USERS, users - c * CHUNK_USERS), first_dow, days) for c in range(chunks)]
    for part in _simulate(catalogue.shelves, scale, tasks, workers):
        parts.append(part)
        tell("shopping", simulated * len(parts) / chunks)
    histories = _together(parts)
    ids = number_orders(histories, seed)
    trains = _trains(users, seed)

    uploads = []
    for d, folder in enumerate(folders):
        share = (1 - simulated) / days
        told = partial(_tell_part, tell, f"writing {folder.name}", simulated + share * d, share)
        dump = dump_of(histories, d, trains)
        prior, train = write_day(folder, catalogue, histories, ids=ids, dump=dump, told=told)
        day = first_day + timedelta(days=d)
        uploads.append(DayUpload(day, folder, users, len(catalogue.names), len(dump.rows), prior, train))
    tell("done", 1.0)
    return uploads


def _tell_part(tell: Callable[[str, float], None], what: str, before: float, share: float, done: float) -> None:
    tell(what, before + share * done)


def _simulate(shelves: Shelves, scale: float, tasks: list[Chunk], workers: int | None) -> Iterator[Histories]:
    """The chunks' histories in their order, on several processes where that is worth starting them."""
    if workers is None:
        workers = min(os.cpu_count() or 1, _MOST_WORKERS, len(tasks) // _CHUNKS_WORTH_A_PROCESS)
    # A daemonic process isn't allowed children of its own.
    if workers <= 1 or multiprocessing.current_process().daemon:
        for task in tasks:
            yield simulate_chunk(shelves, task)
        return
    context = multiprocessing.get_context("spawn")
    # Workers build the shop themselves: handing over more than a pipe holds would hang on a worker that can't start.
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_open_shop, initargs=(scale, tasks[0].seed))
    done = 0
    try:
        for part in pool.map(_simulate_task, tasks):
            done += 1
            yield part
    except BrokenProcessPool:
        # Memory ran out, or the main module can't be imported again (a script without a main guard, standard input).
        for task in tasks[done:]:
            yield simulate_chunk(shelves, task)
    finally:
        pool.shutdown(cancel_futures=True)


_shop: list[Shelves] = []


def _open_shop(scale: float, seed: int) -> None:
    _shop[:] = [build_catalogue(scale, seed).shelves]


def _simulate_task(task: Chunk) -> Histories:
    return simulate_chunk(_shop[0], task)


def _together(parts: list[Histories]) -> Histories:
    """One for all users. Empties `parts` column by column, so that little is held twice."""
    columns: dict[str, NDArray[np.generic]] = {}
    for field in fields(Histories):
        columns[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
        for part in parts:
            object.__setattr__(part, field.name, None)
    return Histories(**columns)  # type: ignore[arg-type]


def _trains(users: int, seed: int) -> NDArray[np.bool_]:
    """Whether each user's target is train; a hash of user and seed, so a user keeps the side for ever."""
    with np.errstate(over="ignore"):
        x = np.arange(1, users + 1, dtype=np.uint64) + np.uint64(seed % (1 << 32)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    share: NDArray[np.bool_] = (x >> np.uint64(11)).astype(np.float64) / (1 << 53) < real.TRAIN_SHARE
    return share
