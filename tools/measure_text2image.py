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
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import normalize

import mini_earth
from course_utils import lab, metrics, text2image, zero_shot
from course_utils.examples import Example, phrase_from_name
from course_utils.runtime import seeded, write_atomically
from mini_earth import words
from tools import train_judge, training
from tools.measured_card import K_CROWD, K_REGION, Row, fragment, write_table
from tools.training import Captioned, options
from tools.training.looks import main_direction

LINES = {  # of which scenes, and as which words
    "freeway": "a straight freeway of four lanes runs",
    "runway": "the straight runway lies",
}
TEMPLATES = zero_shot.TEMPLATES["satellite"]  # the lab's
SHARES = dict.fromkeys(("precision", "recall", "coverage", "copied_share"), (0.0, 1.0))


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


@dataclass(frozen=True)
class Images:
    """Images with their labels, in the judge's order of classes."""

    pixels: Tensor  # uint8, n 3 h w
    labels: Tensor  # int, n
    prompts: tuple[str, ...]  # what was asked, or could have been

    def take(self, rows: Tensor) -> "Images":
        """Keep these rows."""
        prompts = tuple(self.prompts[i] for i in rows.tolist())
        return Images(self.pixels[rows], self.labels[rows], prompts)


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
        path = args.data / "train" / options.EUROSAT
        past = training.read_captioned(path, size=train_judge.SIZE, allow_eurosat=True)
    return Real(*(real_images(data, class_names, args.on) for data in (past, held, judged)))


def real_images(data: Captioned, class_names: Sequence[str], on: str) -> Images:
    """Take real images, each with a prompt that could have asked for it."""
    labels = train_judge.label_numbers(data, class_names)
    phrases = [class_phrase(on, class_names[label]) for label in labels]
    pairs = zip(itertools.cycle(TEMPLATES), phrases, strict=False)
    prompts = tuple(template.replace("{}", phrase) for template, phrase in pairs)
    return Images(data.images, labels, prompts)


def draw(args: argparse.Namespace, model: object, prompts: Sequence[str], seed: int) -> Tensor:
    """Draw an image a prompt with one base seed (uint8); those of an earlier run are kept."""
    settings = {"num_sample_steps": args.steps, "guidance_scale": args.guidance}
    config = text2image.GenerationConfig(**settings, seed=seed)
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


def share_row(images: str, right: Tensor, *, class_name: str = "all", seeds: int = 1) -> Row:
    """Count what the judge recognized; Wilson's interval, since all images are independent.

    An image depends on the base seed through its own noise alone, so those of several seeds are
    pooled; classes count alike, which makes the interval rather too wide than too narrow.
    """
    test = stats.binomtest(int(right.sum()), len(right))
    bounds = map(float, test.proportion_ci(0.95, method="wilson"))
    numbers = right.double().mean().item(), *bounds, len(right) // seeds, seeds
    return Row(images, "agreement", "judge", class_name, *numbers)


def agreement_rows(
    judge: train_judge.Judge, labels: Tensor, called: Tensor, judged: Images, *, seeds: int
) -> Iterator[Row]:
    """Say what the judge calls drawings and real images, over all and by class."""
    real_called, _ = train_judge.see(judge, judged.pixels)
    for images, right, truth, num in (
        ("drawn", called == labels, labels, seeds),
        ("real", real_called == judged.labels, judged.labels, 1),
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
    sizes, draw = (n // 2, 3 * n // 4, n), {"generator": seeded(seed), "num_draws": draws}
    by_size = metrics.frechet_by_size(real, other, sizes, **draw)
    region = metrics.precision_recall(real, other, k=K_REGION)
    crowd = metrics.density_coverage(real, other, k=K_CROWD)
    return {
        **{("frechet_distance", k): mean for k, mean in zip(sizes, by_size.means, strict=True)},
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
    """Average each number over the seeds, with Student's interval where there are several.

    A share that all seeds agree on has Wilson's, of the images of one of them.
    """
    for metric, n in runs[0]:
        values = [run[metric, n] for run in runs]
        low = high = None
        if len(values) > 1:
            ends = SHARES.get(metric, (-math.inf, math.inf))
            found = metrics.mean_interval(values, ends=ends)
            if metric in SHARES and len(set(values)) == 1:  # then count the images of one seed
                test = stats.binomtest(round(values[0] * n), n)
                found = test.proportion_ci(0.95, method="wilson")
            low, high = float(found.low), float(found.high)
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
    real = features(matched(held, counts))

    def compared(images: Images, seed: int) -> dict[tuple[str, int], float]:
        numbers = set_numbers(real, features(matched(images, counts)), draws=args.draws, seed=seed)
        named = {f"{metric} ({n})": value for (metric, n), value in numbers.items()}
        training.say_numbers(f"{space}, seed {seed}", named)
        return numbers

    seeds = range(len(drawn))
    yield from mean_rows("drawn", space, [compared(drawn[seed], seed) for seed in seeds])
    orders = [torch.randperm(len(past.labels), generator=seeded(1000 + seed)) for seed in seeds]
    others = [compared(past.take(orders[seed]), seed) for seed in seeds]
    yield from mean_rows("real", space, others)
    # nearer to a training image than one in a hundred real ones is
    settings = {"quantile": max(0.01, 1 / (len(held_features) + 1))}
    pools = [features(images) for images in drawn]
    copies = [metrics.copied_share(p, past_features, held_features, **settings) for p in pools]
    num, first = len(drawn[0].labels), copies[0]
    yield from mean_rows("drawn", space, [{("copied_share", num): c.share} for c in copies])
    yield Row("real", "copied_share", space, "all", first.expected, None, first.limit, num, 1)
    pairs_sheet(args, space, pools[0], past_features, (drawn[0], past))


def class_counts(drawn: Images, held: Images, past: Images) -> list[int]:
    """Count how many images of each class all sets have, so that they are compared alike."""
    num_classes = int(max(drawn.labels.max(), held.labels.max())) + 1
    counts = [torch.bincount(s.labels, minlength=num_classes) for s in (drawn, held, past)]
    return torch.stack(counts).amin(dim=0).tolist()


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
    ways, shares = np.array(found).T
    off = np.abs((ways - np.array(angles) + 90) % 180 - 90)
    straight, obeyed = float(shares.mean()), float(np.mean(off < 22.5))
    return {("straightness", len(found)): straight, ("direction_obeyed", len(found)): obeyed}


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


def confusions(names: Sequence[str], labels: Tensor, called: Tensor) -> dict[str, str]:
    """Say for each class what else its drawings are mostly taken for, with the share."""
    said = {"all": ""}
    for k, name in enumerate(names):
        others = Counter(called[(labels == k) & (called != k)].tolist()).most_common(1)
        total = int((labels == k).sum())
        said[name] = f"{names[others[0][0]]} ({others[0][1] / total:.3f})" if others else ""
    return said


def measure(args: argparse.Namespace) -> None:
    """Draw, judge, compare, and write everything."""
    judge, record = train_judge.load_judge(args.work / f"judge_{args.on}")
    record["num_weights"] = sum(p.numel() for p in judge.parameters())
    real = load_real(args, judge.class_names)
    model = text2image.load_pipeline(args.model)
    drawn = draw_classes(args, model, judge.class_names)
    sheets(args, drawn[0], judge.class_names)
    clip = zero_shot.load_clip(args.clip, device="cpu")
    labels = torch.cat([images.labels for images in drawn])
    called = torch.cat([train_judge.see(judge, images.pixels)[0] for images in drawn])
    rows = list(agreement_rows(judge, labels, called, real.judged, seeds=args.seeds))
    training.say(f"recognized: {rows[0].value:.4f} of the drawings")
    extractors = spaces(args, judge, clip)
    for space, features in extractors.items():
        rows += space_rows(args, space, features, drawn, real)
    rows += clip_score_rows(clip, extractors[clip.name], drawn, real)
    if args.on == "mini_earth":
        rows += line_rows(args, model)
    shared = {"model": args.name, "on": args.on, "guidance": args.guidance, "steps": args.steps}
    shared |= {"fingerprint": model.fingerprint}
    shared |= {"scheduler": type(model.pipeline.scheduler).__name__}
    shared |= training.origin(args.command)
    write_table(args.table, [vars(row) | {"class": row.class_name} | shared for row in rows])
    confused = confusions(judge.class_names, labels, called)
    text = fragment(args, rows, judge=record, confused=confused)
    path = args.work / f"{args.name}_measured_on_{args.on}.md"
    write_atomically(path, text.encode())
    training.say(f"wrote {args.table.name}, {path.name} and sheets")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one model."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
