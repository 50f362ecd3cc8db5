"""Measure a text-to-image model against held-aside real images, and show what it draws.

    python -m tools.measure_text2image --data DATA --work WORK --name small_text2image_eurosat
    python -m tools.measure_text2image ... --name small_text2image --on mini_earth

Draws with the lab's prompts and settings, asks a judge (``tools.train_judge``) what the drawings
show, and compares them with the EuroSAT training part that ships, which no generator has seen, or
with fresh renders. Beside each number stands that of real images which the model was trained on, as
many of each class. Writes the rows of this model in ``data/measured/text2image.csv``, a fragment
for its card, and sheets of drawings.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import normalize

import mini_earth
from course_utils import lab, metrics, text2image, zero_shot
from course_utils.examples import Example, phrase_from_name
from course_utils.runtime import write_atomically
from mini_earth import words
from tools import train_judge, training
from tools.measured_card import Row, fragment
from tools.training import Captioned, options
from tools.training.looks import main_direction

LINES = {  # of which scenes, and as which words
    "freeway": "a straight freeway of four lanes runs",
    "runway": "the straight runway lies",
}
TEMPLATES = zero_shot.TEMPLATES["satellite"]  # the lab's
K_REGION, K_CROWD = 3, 5  # neighbours: of precision and recall, of density and coverage
SHARES = ("precision", "recall", "coverage", "copied_share")  # between 0 and 1
COLUMNS = (
    *("model", "fingerprint", "on", "images", "metric", "space", "class"),
    *("value", "low", "high", "n", "seeds"),
    *("guidance", "steps", "scheduler", "command", "commit", "machine"),
)
SETTING = ("model", "on", "guidance", "steps", "scheduler")  # a later run replaces these rows


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``args.command`` repeats it without a path of this machine."""
    names = ("data", "work", "clip", "table", "per_class", "seeds", "steps", "threads")
    table = options.REPO / "data" / "measured" / "text2image.csv"
    settings = {"table": table, "seeds": 3, "steps": 10}
    parser = training.make_parser(__doc__, [*names, *options.RENDERS], **settings)
    add = parser.add_argument
    add("--name", required=True, help="what the table calls the model")
    add("--model", help="an artifact of the lock or a diffusers folder; default --name")
    add("--on", choices=("eurosat", "mini_earth"), default="eurosat")
    add("--guidance", type=float, default=3.0)
    add("--per-line", type=int, default=10, help="drawings of each road and direction")
    add("--draws", type=int, default=5, help="parts of each size, to show the bias at small n")
    args = parser.parse_args(argv)
    args.model = args.model or args.name
    said = ("data", "work", "name", "model", "on", "guidance", "steps", "per_class", "seeds")
    model = args.model if args.model == args.name else "FOLDER"
    args.command = training.command_line("measure_text2image", args, said, model=model)
    return args


# --- Images -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """Images with their labels, in the judge's order of classes."""

    pixels: Tensor  # uint8, n 3 h w
    labels: Tensor  # int, n
    prompts: tuple[str, ...]  # what was asked, or could have been

    def take(self, rows: Tensor) -> "Images":
        """Keep these rows."""
        return Images(
            self.pixels[rows], self.labels[rows], tuple(self.prompts[i] for i in rows.tolist())
        )


def class_phrase(on: str, class_name: str) -> str:
    """Name a class as the lab would: by its folder name, by its disaster, or by its scene."""
    if on == "eurosat":
        return phrase_from_name(class_name)
    known = {**mini_earth.SCENE_PHRASES, **mini_earth.DISASTER_PHRASES}
    key = next(key for key in known if key.replace("_", "") == class_name)
    is_event = key in mini_earth.DISASTER_PHRASES
    return f"a place damaged by {known[key][0]}" if is_event else known[key][0]


@dataclass(frozen=True)
class Real:
    """Real images: what the model was trained on, what drawings are compared and judged with."""

    past: Images
    held: Images  # no generator has seen them
    judged: Images  # nor has the judge


def load_real(args: argparse.Namespace, class_names: Sequence[str]) -> Real:
    """Read EuroSAT's parts, or render both streams."""
    if args.on == "mini_earth":
        past, held = train_judge.load_split(args)
        judged = held
    else:
        held, judged = train_judge.load_split(args)
        path = args.data / "train" / "eurosat_spatial_train.parquet"
        past = training.read_captioned(path, size=train_judge.SIZE, allow_eurosat=True)
    return Real(*(real_images(data, class_names, args.on) for data in (past, held, judged)))


def real_images(data: Captioned, class_names: Sequence[str], on: str) -> Images:
    """Take real images, each with a prompt that could have asked for it."""
    labels = train_judge.label_numbers(data, class_names)
    phrases = [class_phrase(on, name) for name in class_names]
    prompts = tuple(
        TEMPLATES[i % len(TEMPLATES)].replace("{}", phrases[label])
        for i, label in enumerate(labels.tolist())
    )
    return Images(data.images, labels, prompts)


def draw(args: argparse.Namespace, model: object, prompts: Sequence[str], seed: int) -> Tensor:
    """Draw an image a prompt with one base seed (uint8); those of an earlier run are kept."""
    config = text2image.GenerationConfig(
        num_sample_steps=args.steps, guidance_scale=args.guidance, seed=seed
    )
    pixels, every = [], max(1, len(prompts) // 5)
    for drawn in text2image.generate(model, prompts, config, root=args.work / "drawn"):
        pixels.append(torch.from_numpy(np.array(drawn.image)).permute(2, 0, 1))
        if len(pixels) % every == 0:
            training.say(f"seed {seed}: {len(pixels)} of {len(prompts)} drawn")
    return torch.stack(pixels)


def draw_classes(
    args: argparse.Namespace, model: object, class_names: Sequence[str]
) -> list[Images]:
    """Draw ``per_class`` images a class with the lab's prompts, for every base seed."""
    phrases = [class_phrase(args.on, name) for name in class_names]
    prompts, labels = lab.write_prompts(phrases, TEMPLATES, per_class=args.per_class)
    labels, prompts = torch.tensor(labels), tuple(prompts)
    return [Images(draw(args, model, prompts, seed), labels, prompts) for seed in range(args.seeds)]


def matched(images: Images, counts: Sequence[int]) -> Images:
    """Keep the first so many images of each class, in the order of their classes."""
    rows = [torch.nonzero(images.labels == k)[:num, 0] for k, num in enumerate(counts)]
    return images.take(torch.cat(rows))


# --- Feature spaces ---------------------------------------------------------------------------


def spaces(
    args: argparse.Namespace, judge: train_judge.Judge, clip: zero_shot.Clip
) -> dict[str, Callable[[Images], Tensor]]:
    """Make the two extractors; rows have length root d, as the kernel distance wants them."""

    def of_clip(images: Images) -> Tensor:
        arrays = images.pixels.permute(0, 2, 3, 1).numpy()
        pairs = zip(images.labels.tolist(), arrays, strict=True)
        examples = [Example(label=k, source="real", pixels=pixels) for k, pixels in pairs]
        return spread(zero_shot.image_features(clip, examples, cache=args.work / "features"))

    return {
        clip.name: of_clip,
        "judge": lambda images: spread(train_judge.see(judge, images.pixels)[1]),
    }


def spread(features: Tensor) -> Tensor:
    """Give rows the length root d."""
    return normalize(features.double(), dim=1) * math.sqrt(features.shape[1])


# --- Numbers ----------------------------------------------------------------------------------


def share_row(images: str, right: Tensor, *, class_name: str = "all", seeds: int = 1) -> Row:
    """Count what the judge recognized; Wilson's interval, since all images are independent.

    An image depends on the base seed through its own noise alone, so those of several seeds are
    pooled; classes count alike, which makes the interval rather too wide than too narrow.
    """
    test = stats.binomtest(int(right.sum()), len(right))
    interval = test.proportion_ci(0.95, method="wilson")
    n = len(right) // seeds
    low, high = float(interval.low), float(interval.high)
    share = right.double().mean().item()
    return Row(images, "agreement", "judge", class_name, share, low, high, n, seeds)


def agreement_rows(
    judge: train_judge.Judge, drawn: Sequence[Images], judged: Images
) -> Iterator[Row]:
    """Ask the judge what drawings and real images show, over all and by class."""
    seeds = len(drawn)
    labels = torch.cat([images.labels for images in drawn])
    said = torch.cat([train_judge.see(judge, images.pixels)[0] for images in drawn])
    real_said, _ = train_judge.see(judge, judged.pixels)
    for images, right, truth, num in (
        ("drawn", said == labels, labels, seeds),
        ("real", real_said == judged.labels, judged.labels, 1),
    ):
        yield share_row(images, right, seeds=num)
        for k, name in enumerate(judge.class_names):
            if (truth == k).any():
                yield share_row(images, right[truth == k], class_name=name, seeds=num)


def set_numbers(
    real: Tensor, other: Tensor, *, draws: int, seed: int
) -> dict[tuple[str, int], float]:
    """Compare two sets of features of equal size; keys are (metric, n)."""
    n = len(real)
    generator = torch.Generator().manual_seed(seed)
    sizes = (n // 2, 3 * n // 4, n)
    by_size = metrics.frechet_by_size(real, other, sizes, generator=generator, num_draws=draws)
    region = metrics.precision_recall(real, other, k=K_REGION)
    crowd = metrics.density_coverage(real, other, k=K_CROWD)
    return {
        **{
            ("frechet_distance", size): mean
            for size, mean in zip(sizes, by_size.means, strict=True)
        },
        ("frechet_limit", n): by_size.limit,
        ("kernel_distance", n): metrics.kernel_distance(real, other),
        ("precision", n): region.precision,
        ("recall", n): region.recall,
        ("density", n): crowd.density,
        ("coverage", n): crowd.coverage,
    }


def mean_rows(
    images: str, space: str, runs: Sequence[dict[tuple[str, int], float]]
) -> Iterator[Row]:
    """Average each number over the seeds, with Student's interval where there are several."""
    for metric, n in runs[0]:
        values = [run[metric, n] for run in runs]
        low = high = None
        if len(values) > 1:
            bounds = metrics.mean_interval(values)
            low, high = bounds.low, bounds.high
            if metric in SHARES:
                low, high = max(0.0, low), min(1.0, high)
        mean = float(np.mean(values))
        yield Row(images, metric, space, "all", mean, low, high, n, len(values))


def space_rows(
    args: argparse.Namespace,
    space: str,
    features: Callable[[Images], Tensor],
    drawn: Sequence[Images],
    real_sets: Real,
) -> Iterator[Row]:
    """Compare drawings and training images with unseen ones in one feature space."""
    past, held = real_sets.past, real_sets.held
    counts = class_counts(drawn[0], held, past)
    held_features, past_features = features(held), features(past)
    training.say(f"{space}: {past_features.shape[1]} features of {len(past.labels)} images")
    real = features(matched(held, counts))
    runs, copies = [], []
    for seed, images in enumerate(drawn):
        numbers = set_numbers(real, features(matched(images, counts)), draws=args.draws, seed=seed)
        copies.append(copy_numbers(features(images), past_features, held_features))
        runs.append(numbers)
        training.say(f"{space}, seed {seed}: " + said(numbers))
    references = []
    for seed in range(len(drawn)):
        order = torch.randperm(
            len(past.labels), generator=torch.Generator().manual_seed(1000 + seed)
        )
        others = features(matched(past.take(order), counts))
        references.append(set_numbers(real, others, draws=args.draws, seed=seed))
    training.say(f"{space}, real: " + said(references[0]))
    yield from mean_rows("drawn", space, runs)
    yield from mean_rows("real", space, references)
    num = len(drawn[0].labels)
    yield from mean_rows("drawn", space, [{("copied_share", num): c.share} for c in copies])
    expected, limit = copies[0].expected, copies[0].limit
    yield Row("real", "copied_share", space, "all", expected, None, limit, num, 1)
    pairs_sheet(args, space, features(drawn[0]), past_features, (drawn[0], past))


def class_counts(drawn: Images, held: Images, past: Images) -> list[int]:
    """Count how many images of each class all sets have, so that they are compared alike."""
    num_classes = int(max(drawn.labels.max(), held.labels.max())) + 1
    counts = [torch.bincount(s.labels, minlength=num_classes) for s in (drawn, held, past)]
    return torch.stack(counts).amin(dim=0).tolist()


def copy_numbers(drawn: Tensor, past: Tensor, held: Tensor) -> metrics.CopiedShare:
    """Ask whether drawings are nearer to training images than one in a hundred real ones is."""
    return metrics.copied_share(drawn, past, held, quantile=max(0.01, 1 / (len(held) + 1)))


def said(numbers: dict[tuple[str, int], float]) -> str:
    """Put numbers into one line."""
    return ", ".join(f"{metric} ({n}) {value:.3f}" for (metric, n), value in numbers.items())


def clip_score_rows(
    clip: zero_shot.Clip, features: Callable, drawn: Sequence[Images], real: Real
) -> Iterator[Row]:
    """Score images against the sentences that asked for them, or could have."""
    counts = class_counts(drawn[0], real.held, real.past)

    def score(images: Images) -> dict[tuple[str, int], float]:
        images = matched(images, counts)
        unique = sorted(set(images.prompts))
        rows = dict(zip(unique, clip.encode_text(unique), strict=True))
        texts = torch.stack([rows[prompt] for prompt in images.prompts])
        scores = metrics.clip_score(features(images).float(), texts)
        return {("clip_score", len(scores)): scores.mean().item()}

    yield from mean_rows("drawn", clip.name, [score(images) for images in drawn])
    yield from mean_rows("real", clip.name, [score(real.held)])


# --- Lines --------------------------------------------------------------------------------------


def line_prompts(per_line: int) -> tuple[list[str], list[float]]:
    """Ask for straight roads in each of the eight directions that there are words for."""
    prompts, angles = [], []
    for scene_class, thing in LINES.items():
        for k in range(len(words.LINES)):
            angle = 180.0 * k / len(words.LINES)
            said = mini_earth.Sight(thing + " {}", angle, is_line=True).said()
            subject = f"a satellite photo of {mini_earth.SCENE_PHRASES[scene_class][0]}"
            prompts += [f"{subject}, {said}, few trees, green grass, clear light"] * per_line
            angles += [angle] * per_line
    return prompts, angles


def line_numbers(images: Tensor, angles: Sequence[float]) -> dict[tuple[str, int], float]:
    """Measure how straight the lines of uint8 images are, and how often they run as asked."""
    found = [main_direction(image.double().mean(dim=0).numpy() / 255) for image in images]
    off = [
        abs((angle - asked + 90) % 180 - 90)
        for (angle, _), asked in zip(found, angles, strict=True)
    ]
    n = len(found)
    return {
        ("straightness", n): float(np.mean([share for _, share in found])),
        ("direction_obeyed", n): float(np.mean(np.array(off) < 22.5)),
    }


def line_rows(args: argparse.Namespace, model: text2image.TextToImage) -> Iterator[Row]:
    """Draw roads as asked; beside them renders, which run as their captions say."""
    prompts, angles = line_prompts(args.per_line)
    runs = [line_numbers(draw(args, model, prompts, k), angles) for k in range(args.seeds)]
    yield from mean_rows("drawn", "lines", runs)
    real, truth = [], []
    for seed in range(len(prompts)):
        scene_class = list(LINES)[seed % len(LINES)]
        style = args.styles[seed % len(args.styles)]
        view = mini_earth.render(mini_earth.make_scene(scene_class, style, seed=seed, extent=200.0))
        real.append(torch.from_numpy(view.image.copy()).permute(2, 0, 1))
        truth.append(next(sight.angle for sight in view.sights if sight.is_line))
    yield from mean_rows("real", "lines", [line_numbers(torch.stack(real), truth)])


# --- What is written --------------------------------------------------------------------------


def sheets(args: argparse.Namespace, drawn: Images, class_names: Sequence[str]) -> None:
    """Show the first drawings, none picked: ten a class, and a hundred of each class."""
    folder, by_class = args.work / f"{args.name}_sheets", []
    for k, name in enumerate(class_names):
        images = drawn.pixels[drawn.labels == k][:100].float() / 255
        by_class.append(images[:10])
        training.sheet(list(images.split(10)), folder / f"{args.on}_{name}.png")
    training.sheet(by_class, folder / f"{args.on}_ten_a_class.png")


def pairs_sheet(
    args: argparse.Namespace, space: str, drawn: Tensor, past: Tensor, sets: tuple[Images, Images]
) -> None:
    """Show the ten drawings nearest to a training image, above that image."""
    found = metrics.nearest_neighbors(drawn, past)
    closest = found.distances[:, 0].argsort()[:10]
    rows = [sets[0].pixels[closest], sets[1].pixels[found.index[closest, 0]]]
    path = args.work / f"{args.name}_sheets" / f"{args.on}_nearest_in_{space}.png"
    training.sheet([row.float() / 255 for row in rows], path, zoom=3)


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write the rows of this model and setting; those of other settings of the same files stay."""
    new = [training.as_text(row, COLUMNS) for row in rows]
    kept = [row for row in training.read_rows(path) if is_kept(row, new[0])]
    order = sorted([*kept, *new], key=lambda row: [row[key] for key in SETTING])
    training.write_rows(path, COLUMNS, order)


def is_kept(row: dict[str, str], new: dict[str, str]) -> bool:
    """Keep another model's row, and another setting's unless the model's files have changed."""
    if row["model"] != new["model"]:
        return True
    is_same_setting = all(row[key] == new[key] for key in SETTING)
    return row["fingerprint"] == new["fingerprint"] and not is_same_setting


def confusions(judge: train_judge.Judge, drawn: Sequence[Images]) -> dict[str, str]:
    """Say for each class what else its drawings are mostly taken for, with the share."""
    labels = torch.cat([images.labels for images in drawn])
    called = torch.cat([train_judge.see(judge, images.pixels)[0] for images in drawn])
    names, words = judge.class_names, {"all": ""}
    for k, name in enumerate(names):
        others = Counter(called[(labels == k) & (called != k)].tolist()).most_common(1)
        total = int((labels == k).sum())
        words[name] = f"{names[others[0][0]]} ({others[0][1] / total:.3f})" if others else ""
    return words


def measure(args: argparse.Namespace) -> None:
    """Draw, judge, compare, and write everything."""
    judge, record = train_judge.load_judge(args.work / f"judge_{args.on}")
    record["num_weights"] = sum(p.numel() for p in judge.parameters())
    real = load_real(args, judge.class_names)
    model = text2image.load_pipeline(args.model)
    drawn = draw_classes(args, model, judge.class_names)
    sheets(args, drawn[0], judge.class_names)
    clip = zero_shot.load_clip(args.clip, device="cpu")
    rows = list(agreement_rows(judge, drawn, real.judged))
    training.say(f"recognized: {rows[0].value:.4f} of the drawings")
    extractors = spaces(args, judge, clip)
    for space, features in extractors.items():
        rows += space_rows(args, space, features, drawn, real)
    rows += clip_score_rows(clip, extractors[clip.name], drawn, real)
    if args.on == "mini_earth":
        rows += line_rows(args, model)
    shared = {name: getattr(args, key) for name, key in (("model", "name"), ("on", "on"))}
    shared |= {"guidance": args.guidance, "steps": args.steps, "fingerprint": model.fingerprint}
    shared |= {"scheduler": type(model.pipeline.scheduler).__name__}
    shared |= training.origin(args.command)
    write_table(args.table, [vars(row) | {"class": row.class_name} | shared for row in rows])
    confused, neighbors = confusions(judge, drawn), (K_REGION, K_CROWD)
    text = fragment(args, rows, judge=record, confused=confused, neighbors=neighbors)
    path = args.work / f"{args.name}_measured_on_{args.on}.md"
    write_atomically(path, text.encode())
    training.say(f"wrote {args.table.name}, {path.name} and sheets")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one model."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    measure(args)


if __name__ == "__main__":
    main()
