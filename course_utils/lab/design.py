"""What is compared: a declared grid, the images of every arm, and what each head learns from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.examples import Example, Splits
from course_utils.metrics.generation import check_features
from course_utils.runtime import Profile, check_seed, derive_seed, seeded
from course_utils.strategies import clip_filter, real_filter
from course_utils.texts import text
from course_utils.tuning import HeadData, soft_targets

SHOTS = (1, 2, 4, 8, 16, 64)
FEW = 4  # shots at which the arms are compared that are not drawn for the whole curve
FEW_SEEDS = 3
SMALLEST = 0.02  # the smallest effect of interest, fixed before anything is measured
NAIVE = 4  # drawings a real image where images are simply put together
CURVE = ("real+synthetic", "pooled", "retrieval", "shuffled")  # at all shots, by generator
DRAWN = {  # at few shots: the drawings or real images that each of them takes
    "clip_filter": "drawn",
    "soft_target": "drawn",
    "real_filter": "drawn",
    "language": "language",
    "real_guidance": "guided",
    "pre_disaster": "before",
    "adapted": "adapted",
}
PLAIN = ("augmented", "more_real")  # at few shots, without a generator
ARMS = ("zero_shot", "real", "synthetic", *CURVE, *DRAWN, *PLAIN)


@dataclass(frozen=True)
class Grid:
    """Arms x shots x generators x seeds; what a data set cannot serve is left out, and said."""

    generators: tuple[str, ...]
    shots: tuple[int, ...] = SHOTS
    seeds: tuple[int, ...] = tuple(range(10))
    per_class: int = 40  # images that a seed adds of every class
    pool_per_class: int = 80  # that it takes them from
    few: int = FEW
    num_few_seeds: int = FEW_SEEDS
    smallest: float = SMALLEST
    real_share: float = 0.5  # of every batch
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def few_seeds(self) -> tuple[int, ...]:
        """Say which seeds the arms at few shots have."""
        return self.seeds[: self.num_few_seeds]


def plan_grid(profile: Profile, data: Splits, *, seed: int) -> Grid:
    """Fit the protocol to a data set; ``seed`` is the first of the seeds; 0 follows the largest.

    Raises:
        ValueError: under two test images, with which no interval can be told; so many classes that
            two drawings of each are more than the profile's pool; no validation images; no seed.
    """
    seed, num_classes = check_seed(seed), len(data.class_names)
    for part, least in (("test", 2), ("validation", 1)):
        if (num := len(getattr(data, part))) < least:
            words = "two test images or more" if part == "test" else "validation images"
            raise ValueError(f"expected {words}, got {num}: add some")
    pool = min(Grid.pool_per_class, profile.num_synthetic // num_classes)
    if pool < 2:
        raise ValueError(
            f"{num_classes} classes are too many for a pool of {profile.num_synthetic} synthetic "
            f"images; use at most {profile.num_synthetic // 2} classes"
        )
    counts = Counter(example.label for example in data.train)
    smallest = min(range(num_classes), key=lambda label: counts[label])
    most, notes = counts[smallest], []
    shots = tuple(num for num in SHOTS if num <= most)
    if not shots:
        raise ValueError(f"class {data.class_names[smallest]!r} has no training image: add some")
    if len(shots) < len(SHOTS):
        left = ", ".join(map(str, SHOTS[len(shots) :]))
        few = {"name": data.class_names[smallest], "num": most}
        notes.append(text("lab.shots_left_out", shots=left, **few))
    missing = {*range(num_classes)} - {example.label for example in data.validation}
    if missing:
        names = ", ".join(data.class_names[label] for label in sorted(missing))
        notes.append(text("lab.not_in_validation", names=names))
    return Grid(
        generators=profile.pool_generators,
        shots=shots,
        seeds=tuple((seed + k) % 2**63 for k in range(profile.num_seeds)),  # all fit a table
        pool_per_class=pool,
        per_class=max(1, pool // 2),
        few=min(FEW, shots[-1]),
        notes=tuple(notes),
    )


def with_generators(grid: Grid, names: Sequence[str], left_out: Mapping[str, object]) -> Grid:
    """Give the grid of the generators that could be loaded; the others are named in its notes.

    Args:
        grid: from `plan_grid`.
        names: those that draw.
        left_out: the reasons, by the names of those that do not.

    Raises:
        ValueError: none is left.
    """
    reasons = [
        text("lab.generator_missing", name=name, reason=why) for name, why in left_out.items()
    ]
    if not names:
        raise ValueError(f"there is no generator left to draw with. {' '.join(reasons)}")
    return replace(grid, generators=tuple(names), notes=(*grid.notes, *reasons))


Source = tuple[str, str, int | None]  # what images are, their generator, the seed that they are of


@dataclass(frozen=True, eq=False)
class Bank:
    """Unit features and labels of all images that any head learns from, by where they come from.

    ``real`` are the training images; ``drawn``, ``language``, ``adapted`` and ``retrieved`` belong
    to a generator, ``guided`` and ``before`` to a generator and a seed, ``augmented`` to a seed.
    """

    features: Float[Tensor, "b d"]
    labels: Int[Tensor, " b"]
    places: Mapping[Source, range] = field(default_factory=dict)

    @classmethod
    def of(cls, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> "Bank":
        """Begin with the real training images."""
        nothing = cls(features[:0], labels[:0])
        return nothing.add("real", features, labels)

    def add(
        self,
        what: str,
        features: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        *,
        generator: str = "",
        seed: int | None = None,
    ) -> "Bank":
        """Give a bank with more images; those that were there under the same name are replaced.

        Raises:
            ValueError: features of another model, or not one label an image.
        """
        key, first = (what, generator, seed), len(self.labels)
        if len(features) != len(labels):
            raise ValueError(f"{key}: {len(features)} images, {len(labels)} labels")
        if first:
            check_features(features, self.features, at_least=1)
        places = {**self.places, key: range(first, first + len(labels))}
        both = torch.cat([self.features, features]), torch.cat([self.labels, labels])
        return Bank(*both, places)

    def rows(self, what: str, generator: str = "", seed: int | None = None) -> Int[Tensor, " n"]:
        """List where images are; those of no seed if there are none of this one."""
        found = self.places.get((what, generator, seed))
        found = self.places.get((what, generator, None), range(0)) if found is None else found
        return torch.arange(found.start, found.stop)


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of the grid: one head a seed; none where nothing is trained."""

    arm: str
    generator: str
    shots: int
    seeds: tuple[int, ...]
    heads: tuple[HeadData, ...]


def draw_cells(
    grid: Grid, bank: Bank, weights: Float[Tensor, "k d"], *, logit_scale: float
) -> list[Cell]:
    """Draw every arm's images for every seed; arms whose images are not in the bank are left out.

    A seed redraws the real images, its part of the drawings, the order of the batches. The shots of
    a seed are nested: those of 2 are among those of 4. At 0 shots are the arms without real images.

    Args:
        grid: what is compared.
        bank: the images, ``real`` among them.
        weights: class weights from text; zero-shot CLIP filters and teaches.
        logit_scale: exp(tau), the model's.
    """
    draw = _Draw(grid, bank, weights, logit_scale)
    return [cell for cell in draw.cells() if cell.heads or cell.arm == "zero_shot"]


@dataclass(frozen=True, eq=False)
class _Draw:
    grid: Grid
    bank: Bank
    weights: Float[Tensor, "k d"]
    logit_scale: float

    def cells(self) -> Iterator[Cell]:
        """Go through the grid: the curve by shots, then what is compared at few shots."""
        grid = self.grid
        yield Cell("zero_shot", "", 0, grid.seeds, ())
        for generator in grid.generators:
            yield self.cell("synthetic", generator, 0, grid.seeds)
        for shots in grid.shots:
            yield self.cell("real", "", shots, grid.seeds)
            for arm, generator in product(CURVE, grid.generators):
                yield self.cell(arm, generator, shots, grid.seeds)
        for arm in PLAIN:
            yield self.cell(arm, "", grid.few, grid.few_seeds)
        for arm, generator in product(DRAWN, grid.generators):
            yield self.cell(arm, generator, grid.few, grid.few_seeds)

    def cell(self, arm: str, generator: str, shots: int, seeds: tuple[int, ...]) -> Cell:
        """Draw an arm for all its seeds, or those for which there are images."""
        drawn = {seed: self.head(arm, generator, shots, seed) for seed in seeds}
        heads = {seed: head for seed, head in drawn.items() if head is not None}
        return Cell(arm, generator, shots, tuple(heads), tuple(heads.values()))

    def head(self, arm: str, generator: str, shots: int, seed: int) -> HeadData | None:
        """Put together what one head learns from; None if the bank lacks it."""
        real = self.shots(shots, seed)
        if arm == "more_real":
            real = self.shots(2 * shots, seed)
        added = self.added(arm, generator, shots, seed)
        if real is None or (added is not None and not len(added)):
            return None
        rows = real if added is None else torch.cat([real, added])
        labels, order = self.bank.labels[rows], derive_seed("lab", "order", arm, shots, seed)
        share = None if added is None or not shots or arm == "pooled" else self.grid.real_share
        head = HeadData(rows, labels, order, num_real=len(real), real_share=share)
        if arm == "shuffled":
            mixer = seeded(derive_seed("lab", "shuffle", shots, seed))
            head = replace(head, labels=labels[torch.randperm(len(labels), generator=mixer)])
        return self.soften(head) if arm == "soft_target" else head

    def shots(self, shots: int, seed: int) -> Int[Tensor, " n"] | None:
        """Draw a seed's real images, class after class in turn."""
        real = self.bank.rows("real")
        labels = self.bank.labels[real]
        if shots > int(torch.bincount(labels, minlength=len(self.weights)).min()):
            return None
        return real[draw_rows(labels, shots, derive_seed("lab", "real", seed))]

    def added(self, arm: str, generator: str, shots: int, seed: int) -> Int[Tensor, " n"] | None:
        """List what comes to the real images; None where nothing does."""
        if arm in ("zero_shot", "real", "more_real"):
            return None
        bank, names = self.bank, {"retrieval": "retrieved", "augmented": "augmented", **DRAWN}
        pool = bank.rows(names.get(arm, "drawn"), generator, seed)
        if not len(pool):
            return pool
        labels, stream = bank.labels[pool], seeded(derive_seed("lab", "pool", seed))
        num = min(self.grid.per_class, int(torch.bincount(labels)[labels.unique()].min()))
        if arm == "clip_filter":
            logits = self.logit_scale * bank.features[pool] @ self.weights.T
            options = {"budget_per_class": num, "generator": stream}
            return pool[clip_filter(logits.softmax(1), labels, **options)]
        if arm == "real_filter":
            real = self.shots(shots, seed)
            shown = bank.features[real], bank.labels[real]
            options = {"budget_per_class": num, "generator": stream}
            return pool[real_filter(bank.features[pool], labels, *shown, **options)]
        if arm == "pooled":
            num = min(num, NAIVE * shots)
        return pool[draw_rows(labels, num, derive_seed("lab", "pool", seed))]

    def soften(self, head: HeadData) -> HeadData:
        """Let the zero-shot classifier have a say in the labels of the drawings."""
        rows, labels = head.rows[head.num_real :], head.labels
        teacher = self.logit_scale * self.bank.features[rows] @ self.weights.T
        sure = torch.nn.functional.one_hot(labels[: head.num_real], len(self.weights))
        soft = soft_targets(labels[head.num_real :], teacher)
        return replace(head, labels=torch.cat([sure.to(soft), soft]))


def draw_rows(labels: Int[Tensor, " n"], num: int, seed: int) -> Int[Tensor, " m"]:
    """Draw ``num`` rows of every class that occurs, one of each in turn; more hold the fewer.

    Raises:
        ValueError: a class has fewer.
    """
    generator, columns = seeded(seed), []
    for label in labels.unique():
        rows = torch.nonzero(labels == label)[:, 0]
        if len(rows) < num:
            raise ValueError(f"class {label} has {len(rows)} images: {num} of each are too many")
        columns.append(rows[torch.randperm(len(rows), generator=generator)[:num]])
    return torch.stack(columns, 1).flatten()


def shots_of(train: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """Give the real images that a seed's heads learn from, as `draw_cells` draws them."""
    labels = torch.tensor([example.label for example in train])
    return [train[row] for row in draw_rows(labels, shots, derive_seed("lab", "real", seed))]


def write_prompts(
    phrases: Sequence[str], templates: Sequence[str], *, per_class: int
) -> tuple[list[str], list[int]]:
    """Write prompts for every class, going round the templates; give them and their labels.

    Classes take turns, so that a cut-short pool is balanced. ``phrases`` are the words for each
    class, in label order, which stand for the ``{}`` of a template.
    """
    turns = [templates[i % len(templates)] for i in range(per_class)]
    prompts = [template.replace("{}", phrase) for template in turns for phrase in phrases]
    return prompts, list(range(len(phrases))) * per_class
