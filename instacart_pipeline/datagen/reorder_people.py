"""How the generated customers behave: when they order, what they try, what becomes a habit, what they drop.

Belongs here: the model, simulated for a chunk of users at a time. Doesn't: figures (reorder_calibration.py) and files
(reorder_files.py).

A user orders at a personal pace. Each order has a wished size, split into products never bought before, drawn from the
user's taste, and products bought before. Of those, each has a strength (its product's habit, and chance), a cycle, and
an age since it was last bought; the chance to be bought again grows as its age approaches its cycle. Some purchases are
one-offs, and some habits are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.datagen import reorder_calendar as calendar
from instacart_pipeline.datagen import reorder_calibration as real
from instacart_pipeline.datagen.reorder_catalogue import Shelves
from instacart_pipeline.datagen.reorder_taste import Tastes, rank_within

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

CHUNK_USERS = 2048
"""Users simulated together. Part of what a seed means: other chunks give other people."""

REORDERED_BIT = np.uint32(1 << 31)
_CART_STREAM = 1 << 20  # beyond any number of days
_HIGHEST_ODDS = np.float32(40.0)
_LOWEST_LIFT = np.float32(0.01)
_HIGHEST_LIFT = np.float32(60.0)


@dataclass(frozen=True)
class Histories:
    """All orders of a chunk of users, sorted by user and order number, and their lines in cart order.

    By order: `user` (user_id), `number` (order_number), `arrival` (0: by the first day; d: on the d-th day after it),
    `dow`, `hour`, `gap` (days, capped at 30; -1 on a first order), `size` (lines). By line: `lines` holds the
    product_id, with the top bit set where the user bought the product in an earlier order.
    """

    user: Ints
    number: NDArray[np.uint8]
    arrival: NDArray[np.uint16]
    dow: NDArray[np.uint8]
    hour: NDArray[np.uint8]
    gap: NDArray[np.int8]
    size: NDArray[np.uint16]
    lines: NDArray[np.uint32]


@dataclass(frozen=True)
class Chunk:
    """Users index * CHUNK_USERS + 1 ..., `users` of them; `first_dow` is the first day's order_dow."""

    seed: int
    index: int
    users: int
    first_dow: int
    days: int


def simulate_chunk(shelves: Shelves, chunk: Chunk) -> Histories:
    """The chunk's histories up to `days` - 1 days after the first day.

    Nothing of what happens by one day depends on how many days follow.
    """
    people = _People(shelves, chunk)
    people.live_up_to_first_day()
    for day in range(1, chunk.days):
        people.live_one_day(day)
    return people.histories()


@dataclass
class _Pairs:
    """What users bought at least once: by pair, in the order of first purchase."""

    user: Ints
    product: Ints  # sales rank
    strength: Floats
    cycle: Floats  # days
    bought: Floats  # day last bought

    def take(self, which: Flags | Longs) -> _Pairs:
        return _Pairs(
            self.user[which], self.product[which], self.strength[which], self.cycle[which], self.bought[which]
        )

    @staticmethod
    def together(parts: list[_Pairs]) -> _Pairs:
        return _Pairs(
            np.concatenate([p.user for p in parts]),
            np.concatenate([p.product for p in parts]),
            np.concatenate([p.strength for p in parts]),
            np.concatenate([p.cycle for p in parts]),
            np.concatenate([p.bought for p in parts]),
        )


class _Lines:
    """Collects lines as they are bought, to be put in cart order at the end."""

    def __init__(self) -> None:
        self.parts: list[tuple[Ints, Ints | NDArray[np.uint8], Ints, Floats, bool]] = []

    def add(self, user: Ints, number: NDArray[np.uint8], product: Ints, wish: Floats, *, again: bool) -> None:
        self.parts.append((user, number, product, wish, again))


class _People:
    """A chunk of users, local index 0 for the one with the most orders, so that those still ordering come first."""

    def __init__(self, shelves: Shelves, chunk: Chunk) -> None:
        self.shelves, self.chunk = shelves, chunk
        users = self.users = chunk.users
        rng = self.rng = self._stream(0)
        self.orders = -np.sort(-calendar.order_counts(rng, users))
        self.user_id = (chunk.index * CHUNK_USERS + 1 + rng.permutation(users)).astype(np.int32)
        self.pace = calendar.paces(rng, self.orders)
        self.mean_gap = calendar.MEAN_GAPS[self.pace]
        shape = real.USER_BASKET_SHAPE
        self.basket = (rng.gamma(shape, 1.0 / shape, users) * real.BASKET_MEAN).astype(np.float32)
        self.basket *= np.interp(self.orders, *np.array(real.BASKET_BY_ORDERS).T).astype(np.float32)
        self.loyalty = rng.normal(0.0, real.LOYALTY_SPREAD, users)
        self.loyalty += real.LOYALTY_BY_ORDERS * (np.log(self.orders) - np.log(10.0))
        self.tastes = Tastes(rng, shelves, users)
        self.lift = np.ones(users, dtype=np.float32)
        self.lines = _Lines()
        self.columns: list[tuple[Ints, NDArray[np.uint8], int, Ints, Ints, Ints]] = []

    def _stream(self, day: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.chunk.seed, self.chunk.index, day])))

    # ------------------------------------------------------------ the history up to the first day

    def live_up_to_first_day(self) -> None:
        rng, most = self.rng, int(self.orders[0])
        active = [int(np.searchsorted(-self.orders, -t, side="right")) for t in range(most + 2)]
        self.day = np.zeros(self.users, dtype=np.int32)
        self.dow = rng.choice(7, self.users, p=np.array(real.DAY_OF_WEEK)).astype(np.int32)
        self.hour = calendar.hours(rng, self.dow)
        days = [self.day[:0], self.day.copy()]
        self._note_orders(np.arange(self.users, dtype=np.int32), 1, 0, np.full(self.users, -1, dtype=np.int32))
        for t in range(2, most + 1):
            who = np.arange(active[t], dtype=np.int32)
            gap = calendar.gaps(rng, self.pace[who], self.dow[who])
            self._advance(rng, who, gap)
            self._note_orders(who, t, 0, gap)
            days.append(self.day[who].copy())
        since, self.next_gap = calendar.place_last_order(rng, self.pace, self.dow, self.chunk.first_dow)
        self.next_arrival = self.next_gap - since

        fresh = [np.zeros(0, dtype=np.int64)]
        wishes = [np.zeros(0, dtype=np.float32)]
        for t in range(1, most + 1):
            who = np.arange(active[t], dtype=np.int32)
            new, again = self._basket_plan(rng, who, np.full(len(who), t))
            fresh.append(new)
            wishes.append(again)
        wanted = np.zeros(self.users, dtype=np.int64)
        for new in fresh:
            wanted[: len(new)] += new
        user, product = self.tastes.something_new(rng, wanted, np.zeros(0, dtype=np.int64))
        pairs, first = self._by_first_purchase(rng, user, product, fresh)
        self.pairs = self._walk(rng, pairs, first, days, wishes)

    def _by_first_purchase(
        self, rng: np.random.Generator, user: Ints, product: Ints, fresh: list[Longs]
    ) -> tuple[_Pairs, Ints]:
        """Deals each user's new products out over the orders that wished for some; pairs come sorted by order."""
        who = np.concatenate([np.arange(len(new), dtype=np.int32) for new in fresh])
        number = np.repeat(np.arange(len(fresh), dtype=np.int32), [len(new) for new in fresh])
        by_user = np.argsort(who, kind="stable")
        counts = np.concatenate(fresh)[by_user]
        slots_user = np.repeat(who[by_user], counts)
        slots_number = np.repeat(number[by_user], counts)
        slot = rank_within(slots_user)
        # A user whose taste ran dry has fewer products than slots; the last slots stay empty.
        have = np.bincount(user, minlength=self.users)
        slots_number = slots_number[slot < have[slots_user]]
        order = np.argsort(slots_number, kind="stable")
        return self._new_pairs(rng, user[order], product[order]), slots_number[order]

    def _walk(
        self, rng: np.random.Generator, pairs: _Pairs, first: Ints, days: list[Ints], wishes: list[Floats]
    ) -> _Pairs:
        """Goes through the order numbers; returns the pairs as they stand after the users' last orders."""
        parked: list[_Pairs] = []
        still = self.users
        for t in range(1, len(days)):
            active = len(days[t])
            if active < 0.85 * still:
                still = active
                going = pairs.user < still
                parked.append(pairs.take(~going))
                pairs, first = pairs.take(going), first[going]
            known, upto = np.searchsorted(first, (t, t + 1)).tolist()
            day = np.zeros(still, dtype=np.float32)
            day[:active] = days[t]
            wish = np.zeros(still, dtype=np.float32)
            wish[:active] = wishes[t]
            before = _Pairs(
                pairs.user[:known],
                pairs.product[:known],
                pairs.strength[:known],
                pairs.cycle[:known],
                pairs.bought[:known],
            )
            count = np.bincount(pairs.user[known:upto], minlength=still)[:active]
            bought = self._buy_again(rng, before, day, wish, np.flatnonzero(count == 0))
            number = np.full(1, t, dtype=np.uint8)
            self._bought_again(rng, before, bought, day, number)
            new = slice(known, upto)
            pairs.bought[new] = day[pairs.user[new]]
            self.lines.add(
                pairs.user[new], number, pairs.product[new], np.zeros(upto - known, dtype=np.float32), again=False
            )
        return _Pairs.together([*parked, pairs])

    # ------------------------------------------------------------ a day after it

    def live_one_day(self, day: int) -> None:
        """Everybody whose next order falls on this day places it; some place another one on the same day."""
        rng = self._stream(day)
        while True:
            who = np.flatnonzero((self.next_arrival == day) & (self.orders < real.MOST_ORDERS)).astype(np.int32)
            if not len(who):
                return
            self._advance(rng, who, self.next_gap[who])
            self.orders[who] += 1
            self._note_orders(who, self.orders[who], day, self.next_gap[who])
            self._shop(rng, who)
            self.next_gap[who] = calendar.gaps(rng, self.pace[who], self.dow[who])
            self.next_arrival[who] = day + self.next_gap[who]

    def _shop(self, rng: np.random.Generator, who: Ints) -> None:
        new, again = self._basket_plan(rng, who, self.orders[who])
        mine = np.zeros(self.users, dtype=np.bool_)
        mine[who] = True
        which = np.flatnonzero(mine[self.pairs.user])
        before = self.pairs.take(which)
        wanted = np.zeros(self.users, dtype=np.int64)
        wanted[who] = new
        known = np.sort(before.user * np.int64(len(self.shelves.habit)) + before.product)
        user, product = self.tastes.something_new(rng, wanted, known)
        day = self.day.astype(np.float32)
        wish = np.zeros(self.users, dtype=np.float32)
        wish[who] = again
        count = np.bincount(user, minlength=self.users)
        bought = self._buy_again(rng, before, day, wish, np.flatnonzero(mine & (count == 0)))
        number = self.orders.astype(np.uint8)
        self._bought_again(rng, before, bought, day, number)
        self.pairs.strength[which], self.pairs.bought[which] = before.strength, before.bought
        fresh = self._new_pairs(rng, user, product)
        fresh.bought[:] = day[user]
        self.lines.add(user, number[user], product, np.zeros(len(user), dtype=np.float32), again=False)
        self.pairs = _Pairs.together([self.pairs, fresh])

    # ------------------------------------------------------------ the calendar

    def _advance(self, rng: np.random.Generator, who: Ints, gap: Ints) -> None:
        self.day[who] += gap
        self.dow[who] = (self.dow[who] + gap) % 7
        hour = calendar.hours(rng, self.dow[who])
        before = self.hour[who]
        hour = np.where(rng.random(len(who)) < real.SAME_HOUR_AGAIN, before, hour)
        # A second order on one day can't be placed before the first.
        self.hour[who] = np.where(gap == 0, np.maximum(hour, before), hour)

    def _note_orders(self, who: Ints, number: int | Longs, arrival: int, gap: Ints) -> None:
        numbers = np.broadcast_to(np.asarray(number, dtype=np.uint8), who.shape)
        self.columns.append((who, numbers, arrival, self.dow[who], self.hour[who], gap))

    # ------------------------------------------------------------ the basket

    def _basket_plan(self, rng: np.random.Generator, who: Ints, number: Longs) -> tuple[Longs, Floats]:
        """How many new products each order shall hold, and how many known ones it is expected to."""
        shape = real.ORDER_BASKET_SHAPE
        size = self.basket[who] * rng.gamma(shape, 1.0 / shape, len(who))
        size = np.where(rng.random(len(who)) < real.TOP_UP_SHARE, size * real.TOP_UP_SIZE, size)
        share = real.NEW_SHARE_SECOND_ORDER * (number / 2.0) ** -real.NEW_SHARE_DECAY
        mood = rng.normal(0.0, real.ORDER_MOOD_SPREAD, len(who))
        odds = share / (1.0 - np.minimum(share, 0.95)) * np.exp(-self.loyalty[who] + mood)
        odds *= (size / real.BASKET_MEAN) ** -real.LOYALTY_BY_SIZE
        share = odds / (1.0 + odds)
        errand = (
            rng.random(len(who))
            < real.ERRAND_SHARE * (np.maximum(size, 5.0) / real.BASKET_MEAN) ** -real.ERRAND_BY_SIZE
        )
        share = np.where(errand, 1.0 - real.ERRAND_HABIT * (1.0 - share), share)
        share = np.where(number == 1, 1.0, share)
        new = rng.poisson(size * share)
        again = size * (1.0 - share)
        # An order that would stay empty takes one product, as often a new one as the user's orders hold new ones.
        forced = rng.random(len(who)) < np.exp(-again) * share
        new = np.where((number == 1) | forced, np.maximum(new, 1), new)
        return new, again.astype(np.float32)

    def _new_pairs(self, rng: np.random.Generator, user: Ints, product: Ints) -> _Pairs:
        habit = self.shelves.habit[product]
        size = len(user)
        strength = np.exp(
            np.float32(real.HABIT_WEIGHT) * habit
            + np.float32(real.PAIR_SPREAD) * rng.standard_normal(size, dtype=np.float32)
        )
        one_off = rng.random(size, dtype=np.float32) < real.ONE_OFF_MIDDLE - real.ONE_OFF_SLOPE * habit
        core = rng.random(size, dtype=np.float32) < 1.0 / (1.0 + np.exp(real.CORE_MIDDLE - real.CORE_SLOPE * habit))
        strength[one_off & ~core] *= np.float32(real.ONE_OFF_LEFT)
        strength[core] *= np.float32(real.CORE_STRENGTH)
        cycle = self.mean_gap[user] * np.exp(
            np.float32(real.CYCLE_LOG)
            + np.float32(real.CYCLE_SLOPE) * habit
            + np.float32(real.CYCLE_SPREAD) * rng.standard_normal(size, dtype=np.float32)
        )
        cycle[core] *= np.float32(real.CORE_CYCLE)
        return _Pairs(user, product, strength, cycle.astype(np.float32), np.zeros(size, dtype=np.float32))

    def _buy_again(
        self, rng: np.random.Generator, pairs: _Pairs, day: Floats, wish: Floats, without: Longs
    ) -> tuple[Longs, Floats]:
        """Which of the pairs are bought again in the orders at hand, and how likely each was.

        Each user has a factor between strength and odds, `lift`, fitted so that the basket is expected at the size wished.
        It follows the user from order to order. Users in `without` have nothing else in the order and take at least one
        pair.
        """
        user = pairs.user
        users = len(wish)
        age = (day[user] - pairs.bought) / pairs.cycle
        age *= age
        # Rises from little right after a purchase to full at about one cycle, and fades when long overdue.
        due = pairs.strength * ((np.float32(0.06) + age) / (np.float32(0.5) + age))
        due /= np.float32(1.0) + age * np.float32(real.FADE)
        lift, ordering = self.lift[:users], wish > 0
        chance = _chance(due, lift[user])
        for step in range(2):
            expected = np.maximum(np.bincount(user, chance, users), 1e-3)
            if step == 0:  # a leap by the ratio, then a Newton step for what saturates
                change = np.clip(np.log(np.maximum(wish, 1e-3) / expected), -4.0, 4.0)
            else:
                slope = np.bincount(user, chance * (np.float32(1.0) - chance), users)
                change = np.clip((wish - expected) / np.maximum(slope, 1e-3), -1.5, 1.5)
            np.multiply(lift, np.exp(change), out=lift, where=ordering, casting="same_kind")
            np.clip(lift, _LOWEST_LIFT, _HIGHEST_LIFT, out=lift)
            chance = _chance(due, lift[user])
        chance *= ordering[user]
        hit = rng.random(len(user), dtype=np.float32) < chance
        if len(without):
            lacking = np.zeros(users, dtype=np.bool_)
            lacking[without] = True
            lacking[user[hit]] = False
            rest = np.flatnonzero(lacking[user])
            rest = rest[np.lexsort((-chance[rest], user[rest]))]
            hit[rest[rank_within(user[rest]) == 0]] = True
        which = np.flatnonzero(hit)
        return which, chance[which]

    def _bought_again(
        self,
        rng: np.random.Generator,
        pairs: _Pairs,
        bought: tuple[Longs, Floats],
        day: Floats,
        number: NDArray[np.uint8],
    ) -> None:
        which, chance = bought
        user = pairs.user[which]
        pairs.bought[which] = day[user]
        dropped = which[rng.random(len(which), dtype=np.float32) < real.DROP_CHANCE]
        pairs.strength[dropped] *= np.float32(real.DROP_LEFT)
        self.lines.add(user, number if len(number) == 1 else number[user], pairs.product[which], chance, again=True)

    # ------------------------------------------------------------ the outcome

    def histories(self) -> Histories:
        """Everything lived through so far, in the order of the files."""
        user = np.concatenate([c[0] for c in self.columns])
        number = np.concatenate([c[1] for c in self.columns])
        order = np.lexsort((number, self.user_id[user]))
        counts = np.empty(self.users, dtype=np.int64)
        counts[self.user_id - self.user_id.min()] = self.orders
        start = (np.cumsum(counts) - counts)[self.user_id - self.user_id.min()]

        parts = self.lines.parts
        row = np.concatenate([start[u] + n.astype(np.int64) - 1 for u, n, *_ in parts])
        product = self.shelves.product_id[np.concatenate([p[2] for p in parts])].astype(np.uint32)
        product |= np.repeat(
            np.array([REORDERED_BIT if p[4] else 0 for p in parts], dtype=np.uint32), [len(p[0]) for p in parts]
        )
        # Whoever is quickest goes into the cart first; favourites are put in at a higher rate.
        base, by_chance = np.float32(real.CART_RATE_KNOWN), np.float32(real.CART_RATE_BY_CHANCE)
        rate = np.concatenate([base + by_chance * p[3] if p[4] else p[3] + np.float32(1.0) for p in parts])
        late = 1.0 - self._stream(_CART_STREAM).random(len(row)) ** (1.0 / rate)
        return Histories(
            user=self.user_id[user][order],
            number=number[order],
            arrival=np.repeat(
                np.array([c[2] for c in self.columns], dtype=np.uint16), [len(c[0]) for c in self.columns]
            )[order],
            dow=np.concatenate([c[3] for c in self.columns])[order].astype(np.uint8),
            hour=np.concatenate([c[4] for c in self.columns])[order].astype(np.uint8),
            gap=np.minimum(np.concatenate([c[5] for c in self.columns])[order], real.GAP_CAP).astype(np.int8),
            size=np.bincount(row, minlength=len(order)).astype(np.uint16),
            lines=product[np.argsort(row + 0.999 * late)],
        )


def _chance(due: Floats, lift: Floats) -> Floats:
    odds = np.minimum(due * lift, _HIGHEST_ODDS)
    chance: Floats = odds / (np.float32(1.0) + odds)
    return chance
