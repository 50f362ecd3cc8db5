"""Measure what classical augmentation does to a classifier of disasters in ``mini_earth``.

    python -m tools.measure_augmentation --work WORK

Two studies on the test images, which choose nothing. *training*: a frozen CLIP with a head that
starts from text, tuned on 1 to 100 real images a class and augmented copies of them, for every
family of ``lab.FAMILIES``; controls are the same images repeated, and shuffled labels. Each seed
has real images of its own. Steps and learning rate are chosen on validation images for real-only,
at each amount. *legality*: test images that are augmented more and more strongly (``lab.DIALS``),
shown to heads that saw real images only. Writes ``data/measured/augmentation.csv``; features are
kept in WORK.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import shapely
import torch
from safetensors.torch import load_file, save
from torch import Tensor

import mini_earth
from course_utils import augment, examples, lab, metrics, tuning, zero_shot
from course_utils.augment import Augmentation
from course_utils.augment.batches import Outlines
from course_utils.examples import Example, Splits
from course_utils.runtime import PROFILES, derive_seed, seeded, write_atomically
from course_utils.tuning import HeadData, TuneConfig
from tools import training
from tools.training import options

COLUMNS = (
    *("study", "family", "strength", "per_class", "copies", "accuracy", "low", "high"),
    *("gain", "gain_low", "gain_high", "verdict", "num_test", "seeds", "num_steps"),
    *("learning_rate", "model", "world", "command", "commit", "machine"),
)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    settings = {"table": options.REPO / "data" / "measured" / "augmentation.csv", "threads": 1}
    settings |= {"amounts": [1, 2, 4, 8, 16, 32, 100], "seeds": 5}
    settings |= {"num_test": PROFILES["mini"].num_test}
    parser = training.make_parser(__doc__, ("work", "clip", *settings), **settings)
    add = parser.add_argument
    add("--copies", type=int, default=8, help="augmented, of each real image")
    add("--most", type=int, default=400, help="augmented images a class")
    add("--shown", type=int, default=8, help="of these amounts, whose heads are shown strong ones")
    args = parser.parse_args(argv)
    if args.shown not in args.amounts:
        parser.error("--shown: expected one of --amounts")
    return args


def copies_of(args: argparse.Namespace, per_class: int) -> int:
    """Say how many augmented copies of each real image an amount gets."""
    return max(1, min(args.copies, args.most // per_class))


def rows_of(data: Splits, num_seeds: int, *, per_class: int, seed: int) -> list[int]:
    """List one seed's training images: of each class every S-th, from the seed's own on."""
    num_classes = len(data.class_names)
    return [
        (rank * num_seeds + seed) * num_classes + k
        for rank in range(per_class)
        for k in range(num_classes)
    ]


def outlines(name: str, index: int, *, size: int) -> Outlines:
    """Outline the buildings of a training image, as ``examples`` rendered it."""
    seed = derive_seed("mini_earth", "train", name, index) % (1 << 48)
    scene = mini_earth.disaster_scene(name, mini_earth.TEST_STYLE, seed=seed)
    frame = shapely.box(0, 0, size, size)
    shapes = [shapely.Polygon(o.points) for o in mini_earth.outlines(scene, size=size)]
    seen = [shapely.intersection(shapely.make_valid(shape), frame) for shape in shapes]
    return tuple(shape for shape in seen if isinstance(shape, shapely.Polygon) and shape.area > 0)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features of images with their soft labels."""

    features: Tensor  # n d, unit rows
    targets: Tensor  # n k, or n class numbers of images as they are

    def take(self, rows: Tensor | Sequence[int]) -> "Encoded":
        """Keep these rows."""
        return Encoded(self.features[rows], self.targets[rows])


def join(*parts: Encoded) -> Encoded:
    """Put images behind each other."""
    pairs = zip(*((part.features, part.targets) for part in parts), strict=True)
    return Encoded(*map(torch.cat, pairs))


def shuffled(images: Encoded, seed: int) -> Encoded:
    """Give images each other's labels."""
    generator = seeded(derive_seed("augmentation", "shuffle", seed))
    order = torch.randperm(len(images.targets), generator=generator)
    return replace(images, targets=images.targets[order])


class Encoder:
    """Encodes what is asked for once, and keeps it in a folder."""

    def __init__(self, args: argparse.Namespace, clip: zero_shot.Clip, data: Splits) -> None:
        self.args, self.clip, self.data = args, clip, data
        self.folder = args.work / f"augmented-{clip.fingerprint[:12]}-{mini_earth.__version__}"

    def plain(self, examples: Sequence[Example], name: str) -> Encoded:
        """Encode images as they are."""
        labels = torch.tensor([example.label for example in examples])
        return self._kept(name, lambda: Encoded(self._encode(examples), labels))

    def copies(self, family: str, *, per_class: int, seed: int) -> Encoded:
        """Augment one seed's images and encode the copies."""
        num, size = copies_of(self.args, per_class), self.clip.image_size

        def make() -> Encoded:
            rows = rows_of(self.data, self.args.seeds, per_class=per_class, seed=seed)
            polygons = None
            if family == "copy_paste":
                names, num_classes = self.data.class_names, len(self.data.class_names)
                places = [divmod(row, num_classes) for row in rows]
                polygons = [outlines(names[k], index, size=size) for index, k in places]
            real, drawn = [self.data.train[row] for row in rows], (family, per_class, seed)
            return self._augmented(real, lab.FAMILIES[family], drawn, num, polygons=polygons)

        return self._kept(f"{family}-{per_class}-{num}-{seed}of{self.args.seeds}", make)

    def test(self, operation: str, strength: float, augmentation: Augmentation) -> Tensor:
        """Augment each test image once and encode it."""
        name, drawn = f"{operation}-{strength:g}", ("legality", operation, strength)
        return self._kept(
            f"test-{name}-{self.args.num_test}",
            lambda: self._augmented(self.data.test, augmentation, drawn, 1),
        ).features

    def _augmented(
        self,
        examples: Sequence[Example],
        augmentation: Augmentation,
        drawn: tuple,
        num_copies: int,
        *,
        polygons: list[Outlines] | None = None,
    ) -> Encoded:
        made = lab.augmented_copies(
            examples,
            augmentation,
            num_classes=len(self.data.class_names),
            num_copies=num_copies,
            generator=seeded(derive_seed("augmentation", *drawn)),
            size=self.clip.image_size,
            polygons=polygons,
        )
        return Encoded(self._encode(made.examples), made.targets)

    def _encode(self, examples: Sequence[Example]) -> Tensor:
        return zero_shot.image_features(self.clip, examples)

    def _kept(self, name: str, make: Callable[[], Encoded]) -> Encoded:
        path = self.folder / f"{name}.safetensors"
        if path.is_file():
            return Encoded(**load_file(path))
        made = make()
        write_atomically(path, save(vars(made)))
        training.say(f"encoded {name}: {len(made.features)} images")
        return made


@dataclass(frozen=True, eq=False)
class Given:
    """What both studies share."""

    weights: Tensor  # of text
    logit_scale: float
    validation: Encoded
    test: Encoded

    def choose(self, bank: Tensor, heads: Sequence[HeadData]) -> TuneConfig:
        """Choose steps and learning rate for real-only on validation images."""
        settings = {"logit_scale": self.logit_scale}
        settings["validation"] = (self.validation.features, self.validation.targets)
        trials = tuning.choose_config(bank, heads, self.weights, **settings)
        return tuning.best_trial(list(trials)).config

    def train(self, bank: Tensor, heads: Sequence[HeadData], config: TuneConfig) -> tuning.Heads:
        """Train heads together."""
        scale = self.logit_scale
        *_, last = tuning.tune_heads(bank, heads, self.weights, config, logit_scale=scale)
        return last.heads

    def hits(self, logits: Tensor) -> Tensor:
        """Say of each head (or of none) and test image whether it is right."""
        return (logits.argmax(-1) == self.test.targets).double()


def heads_of(arms: Mapping[str, Sequence[Encoded]]) -> tuple[Tensor, list[tuple[str, HeadData]]]:
    """Turn each arm's images of each seed into rows of one bank of features: (bank, heads)."""
    heads, bank, start = [], [], 0
    for arm, seeds in arms.items():
        for seed, images in enumerate(seeds):
            rows = start + torch.arange(len(images.features))
            order = derive_seed("augmentation", "batches", arm, seed)
            heads.append((arm, HeadData(rows, images.targets, order)))
            bank.append(images.features)
            start += len(rows)
    return torch.cat(bank), heads


def arms_of(encoder: Encoder, real: Sequence[Encoded], per_class: int) -> dict[str, list[Encoded]]:
    """Make every arm of one amount: a list over seeds."""
    copies = copies_of(encoder.args, per_class)
    arms = {"real": list(real), "real_duplicated": [join(*[r] * (1 + copies)) for r in real]}
    for family in lab.FAMILIES:
        arms[family] = [
            join(images, encoder.copies(family, per_class=per_class, seed=seed))
            for seed, images in enumerate(real)
        ]
    arms["shuffled"] = [shuffled(images, seed) for seed, images in enumerate(arms["legal"])]
    return arms


def training_rows(
    args: argparse.Namespace, given: Given, encoder: Encoder, real: Mapping[int, Sequence[Encoded]]
) -> Iterator[dict[str, object]]:
    """Train every arm at every amount; the gain is the paired difference to real-only."""
    zero = given.hits(given.logit_scale * given.test.features @ given.weights.T)
    level = metrics.crossed_interval(zero[None], ends=(0, 1))
    nothing = metrics.Interval(0.0, 0.0, 0.0, df=float("inf"), error=0.0)
    yield cells(level, nothing, TuneConfig(), study="training", family="zero_shot", seeds=0)
    for per_class in args.amounts:
        bank, named = heads_of(arms_of(encoder, real[per_class], per_class))
        config = given.choose(bank, [head for arm, head in named if arm == "real"])
        trained = given.train(bank, [head for _, head in named], config)
        right, names = given.hits(trained.logits(given.test.features)), [arm for arm, _ in named]
        by_arm = {arm: right[[name == arm for name in names]] for arm in dict(named)}
        for arm, hits in by_arm.items():
            level = metrics.crossed_interval(hits, ends=(0, 1))
            gain = metrics.crossed_interval(hits - by_arm["real"])
            about = {"family": arm, "per_class": per_class, "seeds": args.seeds}
            about["copies"] = 0 if arm == "real" else copies_of(args, per_class)
            yield cells(level, gain, config, study="training", **about)


def legality_rows(
    args: argparse.Namespace, given: Given, encoder: Encoder, real: Sequence[Encoded]
) -> Iterator[dict[str, object]]:
    """Show augmented test images to heads that saw real ones only; the gain is to strength 0."""
    bank, named = heads_of({"real": real})
    heads = [head for _, head in named]
    config = given.choose(bank, heads)
    trained = given.train(bank, heads, config)
    for name, dial in lab.DIALS.items():
        before = None
        for strength in dial.strengths if dial.keeps_label else ():
            hits = given.hits(trained.logits(encoder.test(name, strength, dial.make(strength))))
            before = hits if before is None else before
            level = metrics.crossed_interval(hits, ends=(0, 1))
            gain = metrics.crossed_interval(hits - before)
            about = {"family": name, "strength": float(strength), "per_class": args.shown}
            yield cells(level, gain, config, study="legality", seeds=args.seeds, **about)


def cells(
    level: metrics.Interval, gain: metrics.Interval, config: TuneConfig, **about: object
) -> dict[str, object]:
    """Give the cells of a row and show them."""
    named = " ".join(str(value) for value in about.values())
    training.say(f"{named}: {level.mean:.3f}, {gain.mean:+.3f}")
    return {
        **{"per_class": 0, "copies": 0, "accuracy": level.mean},
        **{"low": level.low, "high": level.high},
        **{"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high},
        **{"verdict": metrics.verdict(gain), "num_steps": config.num_steps},
        **{"learning_rate": config.learning_rate, **about},
    }


def measure(args: argparse.Namespace) -> None:
    """Render, encode, train, test, and write all rows; an older table is replaced as a whole."""
    profile, num = replace(PROFILES["mini"], num_test=args.num_test), max(args.amounts) * args.seeds
    data = examples.load_examples("disasters", profile=profile, per_class=num, cache=args.work)
    clip = zero_shot.load_clip(args.clip, device="cpu")
    training.say(f"{len(data.train)} training, {len(data.test)} test images of {data.name}")
    encoder = Encoder(args, clip, data)
    past = encoder.plain(data.train, f"train-{num}")
    sure = augment.targets_from_labels(past.targets, num_classes=len(data.class_names))
    real, past = {}, replace(past, targets=sure)
    for per_class in args.amounts:
        rows = [rows_of(data, args.seeds, per_class=per_class, seed=k) for k in range(args.seeds)]
        real[per_class] = [past.take(some) for some in rows]
    given = Given(
        zero_shot.class_weights(clip, data.phrases, zero_shot.TEMPLATES["satellite"]),
        clip.logit_scale,
        encoder.plain(data.validation, "validation"),
        encoder.plain(data.test, f"test-{args.num_test}"),
    )
    rows = list(training_rows(args, given, encoder, real))
    rows += legality_rows(args, given, encoder, real[args.shown])
    said = ("work", "amounts", "copies", "most", "shown", "seeds", "num_test")
    shared = training.origin(training.command_line("measure_augmentation", args, said))
    shared |= {"num_test": len(data.test), "model": clip.name, "world": mini_earth.__version__}
    training.write_rows(args.table, COLUMNS, [row | shared for row in rows])
    training.say(f"wrote {args.table.name}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
