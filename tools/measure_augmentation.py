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
from course_utils.augment.outlines import Outlines
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


# --- Images -----------------------------------------------------------------------------------


def load(args: argparse.Namespace) -> Splits:
    """Render enough training images that every seed has its own."""
    profile = replace(PROFILES["mini"], num_test=args.num_test)
    num = max(args.amounts) * args.seeds
    return examples.load_examples("disasters", profile=profile, per_class=num, cache=args.work)


def rows_of(data: Splits, num_seeds: int, *, per_class: int, seed: int) -> list[int]:
    """List one seed's training images: of each class every S-th, from the seed's own on."""
    num_classes = len(data.class_names)
    return [
        (rank * num_seeds + seed) * num_classes + k
        for rank in range(per_class)
        for k in range(num_classes)
    ]


def labels_of(examples: Sequence[Example]) -> Tensor:
    """Give the labels of images."""
    return torch.tensor([example.label for example in examples])


def outlines(name: str, index: int, *, size: int) -> Outlines:
    """Outline the buildings of a training image, as ``sources`` rendered it."""
    seed = derive_seed("mini_earth", "train", name, index) % (1 << 48)
    scene = mini_earth.disaster_scene(name, mini_earth.TEST_STYLE, seed=seed)
    frame = shapely.box(0, 0, size, size)
    shapes = [shapely.Polygon(o.points) for o in mini_earth.outlines(scene, size=size)]
    seen = [shapely.intersection(shapely.make_valid(shape), frame) for shape in shapes]
    return tuple(shape for shape in seen if isinstance(shape, shapely.Polygon) and shape.area > 0)


# --- Features ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features of images with their soft labels."""

    features: Tensor  # n d, unit rows
    targets: Tensor  # n k


class Encoder:
    """Encodes what is asked for once, and keeps it in a folder."""

    def __init__(self, args: argparse.Namespace, clip: zero_shot.Clip, data: Splits) -> None:
        self.args, self.clip, self.data = args, clip, data
        self.folder = args.work / f"augmented-{clip.fingerprint[:12]}-{mini_earth.__version__}"
        self.outlines: dict[int, Outlines] = {}

    def plain(self, examples: Sequence[Example], name: str) -> Tensor:
        """Encode images as they are."""
        return self._kept(
            name, lambda: Encoded(self._encode(examples), labels_of(examples))
        ).features

    def copies(self, family: str, *, per_class: int, seed: int) -> Encoded:
        """Augment one seed's images and encode the copies."""
        num = copies_of(self.args, per_class)
        name = f"{family}-{per_class}-{num}-{seed}of{self.args.seeds}"
        return self._kept(name, lambda: self._make(family, per_class, seed))

    def test(self, operation: str, strength: float, augmentation: Augmentation) -> Tensor:
        """Augment each test image once and encode it."""
        name = f"test-{operation}-{strength:g}-{self.args.num_test}"

        def make() -> Encoded:
            made = lab.augmented_copies(
                self.data.test,
                augmentation,
                num_classes=len(self.data.class_names),
                num_copies=1,
                generator=seeded(derive_seed("augmentation", "legality", operation, strength)),
                size=self.clip.image_size,
            )
            return Encoded(self._encode(made.examples), made.targets)

        return self._kept(name, make).features

    def _make(self, family: str, per_class: int, seed: int) -> Encoded:
        rows = rows_of(self.data, self.args.seeds, per_class=per_class, seed=seed)
        made = lab.augmented_copies(
            [self.data.train[row] for row in rows],
            lab.FAMILIES[family],
            num_classes=len(self.data.class_names),
            num_copies=copies_of(self.args, per_class),
            generator=seeded(derive_seed("augmentation", family, per_class, seed)),
            size=self.clip.image_size,
            polygons=[self._outlined(row) for row in rows] if family == "copy_paste" else None,
        )
        return Encoded(self._encode(made.examples), made.targets)

    def _outlined(self, row: int) -> Outlines:
        if row not in self.outlines:
            index, k = divmod(row, len(self.data.class_names))
            size = self.clip.image_size
            self.outlines[row] = outlines(self.data.class_names[k], index, size=size)
        return self.outlines[row]

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


# --- Training ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One number of the table; ``gain`` is its paired difference to real-only, or to strength 0."""

    study: str
    family: str
    strength: float | None
    per_class: int
    copies: int
    accuracy: metrics.Interval
    gain: metrics.Interval
    config: TuneConfig


@dataclass(frozen=True, eq=False)
class Given:
    """What both studies share."""

    weights: Tensor
    logit_scale: float
    validation: tuple[Tensor, Tensor]
    test: Tensor
    labels: Tensor


def heads_of(
    arms: Mapping[str, Sequence[Encoded]], bank: list[Tensor]
) -> list[tuple[str, HeadData]]:
    """Turn each arm's images of each seed into rows of one bank of features, which is filled."""
    heads, start = [], 0
    for arm, seeds in arms.items():
        for seed, images in enumerate(seeds):
            rows = start + torch.arange(len(images.features))
            order = derive_seed("augmentation", "batches", arm, seed)
            heads.append((arm, HeadData(rows, images.targets, order)))
            bank.append(images.features)
            start += len(rows)
    return heads


def join(*parts: Encoded) -> Encoded:
    """Put images behind each other."""
    return Encoded(
        torch.cat([part.features for part in parts]), torch.cat([part.targets for part in parts])
    )


def shuffled(images: Encoded, seed: int) -> Encoded:
    """Give images each other's labels."""
    generator = seeded(derive_seed("augmentation", "shuffle", seed))
    order = torch.randperm(len(images.targets), generator=generator)
    return replace(images, targets=images.targets[order])


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


def choose(given: Given, bank: Tensor, heads: Sequence[HeadData]) -> TuneConfig:
    """Choose steps and learning rate for real-only on validation images."""
    scale = given.logit_scale
    trials = tuning.choose_config(
        bank, heads, given.weights, logit_scale=scale, validation=given.validation
    )
    return tuning.best_trial(list(trials)).config


def train(
    given: Given, bank: Tensor, heads: Sequence[HeadData], config: TuneConfig
) -> tuning.Heads:
    """Train heads together."""
    steps = tuning.tune_heads(bank, heads, given.weights, config, logit_scale=given.logit_scale)
    *_, last = steps
    return last.heads


def training_rows(
    args: argparse.Namespace, given: Given, encoder: Encoder, real: Mapping[int, Sequence[Encoded]]
) -> Iterator[Row]:
    """Train every arm at every amount."""
    zero = (given.logit_scale * given.test @ given.weights.T).argmax(-1) == given.labels
    level = metrics.crossed_interval(zero[None].double())
    nothing = metrics.Interval(0.0, 0.0, 0.0, float("inf"))
    yield Row("training", "zero_shot", None, 0, 0, level, nothing, TuneConfig())
    for per_class in args.amounts:
        bank: list[Tensor] = []
        named = heads_of(arms_of(encoder, real[per_class], per_class), bank)
        features = torch.cat(bank)
        config = choose(given, features, [head for arm, head in named if arm == "real"])
        trained = train(given, features, [head for _, head in named], config)
        right = (trained.logits(given.test).argmax(-1) == given.labels).double()
        by_arm = {
            arm: right[[i for i, (name, _) in enumerate(named) if name == arm]]
            for arm in dict(named)
        }
        for arm, hits in by_arm.items():
            level = metrics.crossed_interval(hits)
            gain = metrics.crossed_interval(hits - by_arm["real"])
            num = 0 if arm == "real" else copies_of(args, per_class)
            yield Row("training", arm, None, per_class, num, level, gain, config)
            training.say(f"{per_class} a class, {arm}: {level.mean:.3f}, {gain.mean:+.3f}")


def legality_rows(
    args: argparse.Namespace, given: Given, encoder: Encoder, real: Sequence[Encoded]
) -> Iterator[Row]:
    """Show augmented test images to heads that saw real images, and no augmented one."""
    bank: list[Tensor] = []
    heads = [head for _, head in heads_of({"real": real}, bank)]
    features, per_class = torch.cat(bank), args.shown
    config = choose(given, features, heads)
    trained = train(given, features, heads, config)
    for name, dial in lab.DIALS.items():
        before = None
        for strength in dial.strengths if dial.keeps_label else ():
            seen = encoder.test(name, strength, dial.make(strength))
            hits = (trained.logits(seen).argmax(-1) == given.labels).double()
            before = hits if before is None else before
            level, gain = (metrics.crossed_interval(h) for h in (hits, hits - before))
            yield Row("legality", name, float(strength), per_class, 0, level, gain, config)
            training.say(f"{name} {strength:g}: {level.mean:.3f}, {gain.mean:+.3f}")


# --- All of it --------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> None:
    """Render, encode, train, test, and write all rows; an older table is replaced as a whole."""
    data, clip = load(args), zero_shot.load_clip(args.clip, device="cpu")
    training.say(f"{len(data.train)} training, {len(data.test)} test images of {data.name}")
    encoder = Encoder(args, clip, data)
    train_features = encoder.plain(data.train, f"train-{max(args.amounts) * args.seeds}")
    sure = augment.targets_from_labels(labels_of(data.train), num_classes=len(data.class_names))
    real = {}
    for per_class in args.amounts:
        rows = [rows_of(data, args.seeds, per_class=per_class, seed=k) for k in range(args.seeds)]
        real[per_class] = [Encoded(train_features[some], sure[some]) for some in rows]
    templates = zero_shot.TEMPLATES["satellite"]
    given = Given(
        zero_shot.class_weights(clip, data.phrases, templates),
        clip.logit_scale,
        (encoder.plain(data.validation, "validation"), labels_of(data.validation)),
        encoder.plain(data.test, f"test-{args.num_test}"),
        labels_of(data.test),
    )
    rows = [
        *training_rows(args, given, encoder, real),
        *legality_rows(args, given, encoder, real[args.shown]),
    ]
    said = ("work", "amounts", "copies", "most", "shown", "seeds", "num_test")
    shared = training.origin(training.command_line("measure_augmentation", args, said))
    shared |= {"num_test": len(data.test), "model": clip.name, "world": mini_earth.__version__}
    training.write_rows(args.table, COLUMNS, [cells(row, args.seeds) | shared for row in rows])
    training.say(f"wrote {args.table.name}")


def cells(row: Row, num_seeds: int) -> dict[str, object]:
    """Give the cells of a row, the interval of a share between 0 and 1."""
    return {
        **vars(row),
        **{"accuracy": row.accuracy.mean},
        **{"low": max(0.0, row.accuracy.low), "high": min(1.0, row.accuracy.high)},
        **{"gain": row.gain.mean, "gain_low": row.gain.low, "gain_high": row.gain.high},
        **{"verdict": metrics.verdict(row.gain), "num_steps": row.config.num_steps},
        **{"learning_rate": row.config.learning_rate},
        **{"seeds": 0 if row.family == "zero_shot" else num_seeds},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    measure(args)


if __name__ == "__main__":
    main()
