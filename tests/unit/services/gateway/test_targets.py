"""Which target is asked first, and which rests."""

from __future__ import annotations

import random
from collections import Counter

from tollgate.services.gateway.catalogue import Protocol, Target
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.targets import Cooldowns, in_turn


def target(name: str, order: int = 1, weight: int = 1) -> Target:
    return Target(name, name, name, {Protocol.CHAT: "http://x"}, "", order, weight, 60, {}, False, Options(), 1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_lower_order_comes_first_and_weights_share() -> None:
    targets = [target("late", order=2), target("heavy", weight=3), target("light")]
    chance, cooldowns = random.Random(7), Cooldowns(3, 5)
    turns = [[one.id for one in in_turn(targets, cooldowns, chance)] for _ in range(2000)]
    assert {turn[2] for turn in turns} == {"late"}
    first = Counter(turn[0] for turn in turns)
    assert 0.7 < first["heavy"] / 2000 < 0.8


def test_a_target_that_fails_too_often_rests_for_a_while() -> None:
    clock = Clock()
    cooldowns, chance = Cooldowns(1, 5, clock), random.Random(1)
    bad, good = target("bad"), target("good", order=2)
    cooldowns.failed(bad)
    assert in_turn([bad, good], cooldowns, chance)[0] is bad, "one failure is allowed"
    cooldowns.failed(bad)
    assert in_turn([bad, good], cooldowns, chance) == [good]
    clock.now = 6
    assert in_turn([bad, good], cooldowns, chance)[0] is bad


def test_the_only_target_never_rests_and_neither_do_all_at_once() -> None:
    cooldowns, chance = Cooldowns(0, 5, Clock()), random.Random(1)
    one, other = target("one"), target("other")
    cooldowns.failed(one)
    cooldowns.failed(other)
    assert in_turn([one], cooldowns, chance) == [one]
    assert {tried.id for tried in in_turn([one, other], cooldowns, chance)} == {"one", "other"}


def test_an_answer_forgets_the_failures_before_it() -> None:
    cooldowns, chance = Cooldowns(1, 5, Clock()), random.Random(1)
    bad, good = target("bad"), target("good", order=2)
    for _ in range(5):
        cooldowns.failed(bad)
        cooldowns.answered(bad)
    assert in_turn([bad, good], cooldowns, chance)[0] is bad
