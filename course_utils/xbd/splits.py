"""Splits of xBD that do not leak: whole events, or blocks of land at least 2 km apart."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
import torch

from course_utils.runtime import check_seed, derive_seed, seeded
from course_utils.xbd.events import CLASSES, class_of, read_events
from course_utils.xbd.footprints import choose_cut, distance, draw, find_footprint, project
from course_utils.xbd.labels import XbdError
from course_utils.xbd.scenes import XbdScene

SAME_PLACE_METERS = 50_000.0  # events closer than this count as one: socal-fire and woolsey-fire


class SplitRule(StrEnum):
    """How a class was divided."""

    BY_EVENT = "by event"
    BY_BLOCK = "by spatial block, at least 2 km apart"
    TRAIN_ONLY = "training only: one place, and no two tiles known to be 2 km apart"


@dataclass(frozen=True)
class LeftOut:
    """A scene in neither part, and why."""

    scene: XbdScene
    reason: str


@dataclass(frozen=True)
class SceneSplit:
    """Scenes for training and testing that share no event or no neighbourhood."""

    train: tuple[XbdScene, ...]  # by name
    test: tuple[XbdScene, ...]  # by name
    rules: dict[str, SplitRule]  # by class
    left_out: tuple[LeftOut, ...]
    class_map: str  # by which events became classes

    def summary(self) -> str:
        """Tell by class how it was divided: a line each, then a line on what was left out."""
        lines = []
        for name, rule in self.rules.items():
            parts = [str(rule)]
            for part, scenes in (("training", self.train), ("test", self.test)):
                mine = Counter(scene.event for scene in scenes if self._class_of(scene) == name)
                events = ", ".join(f"{event} {count}" for event, count in sorted(mine.items()))
                parts.append(f"{part} {mine.total()}" + (f" ({events})" if events else ""))
            lines.append(f"{name}: {'; '.join(parts)}")
        reasons = Counter(item.reason for item in self.left_out)
        lines += [f"left out: {count} ({reason})" for reason, count in sorted(reasons.items())]
        return "\n".join(lines)

    def _class_of(self, scene: XbdScene) -> str:
        return class_of(scene.event, class_map=self.class_map)


def split_scenes(
    scenes: Sequence[XbdScene], *, class_map: str = "xbd", seed: int, test_share: float = 0.3
) -> SceneSplit:
    """Divide scenes into training and test, class by class, so that no neighbour leaks.

    A class with two or more events among the scenes is divided **by event**: an event is in one
    part only. Events within 50 km of each other count as one, for `socal-fire` and `woolsey-fire`
    show the same ground. Another class is divided **by spatial block**: a straight cut, and tiles
    nearer than 2 km to the other side left out, measured between the edges of the tiles. Tiles
    without a position are left out there. If even that leaves one side empty, all tiles of the
    class are for **training only**, and the rule says so.

    Among the choices that come about as close to ``test_share`` and lose about as few tiles as the
    best one (by event: shares; by block: 36 directions), the seed draws.

    Args:
        scenes: as `find_scenes` lists them; the official split of a scene plays no role.
        class_map: "xbd" or "course", see `class_of`.
        seed: decides which events, which cut.
        test_share: what to aim at, between 0 and 1.

    Returns:
        Both parts by name, the rule that each class got, and what was left out. It depends neither
        on the order of ``scenes`` nor on the other classes.

    Raises:
        XbdError: no scenes, one of them twice, an unknown event or map, a wrong share, or a label
            that has to be read for its position and is none.
    """
    if not 0 < test_share < 1:
        raise XbdError(f"test_share: expected a share between 0 and 1, got {test_share}")
    seed = check_seed(seed)
    if not scenes:
        raise XbdError("there are no scenes to split: give what find_scenes lists")
    name, count = Counter(scene.name for scene in scenes).most_common(1)[0]
    if count > 1:
        raise XbdError(
            f"scene {name} is given more than once, so it could be in training and test; give each "
            "scene once"
        )
    members: dict[str, list[XbdScene]] = defaultdict(list)
    for scene in sorted(scenes, key=lambda scene: scene.name):
        members[class_of(scene.event, class_map=class_map)].append(scene)
    rules, train, test, left_out = {}, [], [], []
    for name in (name for name in CLASSES if name in members):
        generator = seeded(derive_seed("split_scenes", seed, name))
        rules[name], tests, lost = _divide(members[name], test_share, generator)
        test += tests
        left_out += lost
        gone = {scene.name for scene in (*tests, *(item.scene for item in lost))}
        train += [scene for scene in members[name] if scene.name not in gone]
    return SceneSplit(
        train=tuple(sorted(train, key=lambda scene: scene.name)),
        test=tuple(sorted(test, key=lambda scene: scene.name)),
        rules=rules,
        left_out=tuple(sorted(left_out, key=lambda item: item.scene.name)),
        class_map=class_map,
    )


def _divide(
    scenes: list[XbdScene], test_share: float, generator: torch.Generator
) -> tuple[SplitRule, list[XbdScene], list[LeftOut]]:
    """Divide one class: its rule, the scenes for testing, and those left out."""
    places = _places({scene.event for scene in scenes})
    if len(places) > 1:
        tests = _choose_events(scenes, places, test_share, generator)
        return SplitRule.BY_EVENT, [scene for scene in scenes if scene.event in tests], []
    found = [(scene, find_footprint(scene)) for scene in scenes]
    placed = [(scene, footprint) for scene, footprint in found if footprint]
    boxes = project([footprint for _, footprint in placed]) if placed else np.empty((0, 4))
    cut = choose_cut(boxes, test_share, generator)
    if cut is None:
        return SplitRule.TRAIN_ONLY, [], []
    reason = "no position: no label with a building"
    lost = [LeftOut(scene, reason) for scene, footprint in found if not footprint]
    reason, tests = "within 2 km of the cut between training and test", []
    for (scene, _), is_train, is_test in zip(placed, *cut, strict=True):
        if is_test:
            tests.append(scene)
        elif not is_train:
            lost.append(LeftOut(scene, reason))
    return SplitRule.BY_BLOCK, tests, lost


def _places(events: set[str]) -> list[set[str]]:
    """Group events by place."""
    table = read_events()
    points = {name: (table[name].longitude, table[name].latitude) for name in events}
    groups: list[set[str]] = []
    for name in sorted(events):
        near = [
            group
            for group in groups
            if any(distance(*points[name], *points[e]) < SAME_PLACE_METERS for e in group)
        ]
        groups = [group for group in groups if group not in near] + [{name}.union(*near)]
    return groups


def _choose_events(
    scenes: list[XbdScene], places: list[set[str]], test_share: float, generator: torch.Generator
) -> set[str]:
    counts = Counter(scene.event for scene in scenes)
    choices = [
        set().union(*some) for size in range(1, len(places)) for some in combinations(places, size)
    ]
    shares = [sum(counts[event] for event in choice) / len(scenes) for choice in choices]
    return choices[draw([abs(share - test_share) for share in shares], generator)]
