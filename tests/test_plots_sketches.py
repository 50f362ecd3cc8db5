"""Schematics: drawn whole, legible, their numbers counted again from the networks themselves."""

import itertools
import re
from collections.abc import Callable
from functools import cache

import jaxtyping
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torchvision
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from torchvision.models.swin_transformer import ShiftedWindowAttention

from course_utils import plots, runtime, texts
from course_utils.control.metadata import RANGES
from course_utils.plots.sketches import classifiers, parts, transformers
from course_utils.unet import UNet, UNetConfig

LEAST_POINTS = 11
BADGE = 40  # pixels: so small a box may sit on the edge of what it marks, with what is in it
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
SKETCHES: dict[str, Callable[..., Figure]] = {
    "chain": lambda **more: plots.sketch_chain([PICTURE] * 5, **more),
    "families": plots.sketch_families,
    "unet": plots.sketch_unet,
    "flat unet": lambda **more: plots.sketch_unet((8, 16), side=2, **more),
    "deep unet": lambda **more: plots.sketch_unet((512, 1024, 1024, 1024), side=512, **more),
    "pipeline": lambda **more: plots.sketch_pipeline(PICTURE, **more),
    "long names": lambda **more: plots.sketch_pipeline(
        PICTURE, class_names=("$ rectangular farmland", "g" * 40, ""), **more
    ),
    "alexnet": plots.sketch_alexnet,
    "residual": plots.sketch_residual,
    "vit": lambda **more: plots.sketch_vit(PICTURE, **more),
    "swin": plots.sketch_swin,
    "clip": plots.sketch_clip,
    "mae": lambda **more: plots.sketch_mae(PICTURE, **more),
    "coca": plots.sketch_coca,
    "text2earth": plots.sketch_text2earth,
    "controlnet": lambda **more: plots.sketch_controlnet(PICTURE, **more),
    "crs_diff": lambda **more: plots.sketch_crs_diff([PICTURE] * 3, **more),
    "diffusionsat": lambda **more: plots.sketch_diffusionsat([PICTURE] * 3, **more),
    "satsynth": lambda **more: plots.sketch_satsynth(PICTURE, PICTURE, **more),
    "framework": plots.plot_framework,
}
TAKE_A_PICTURE = ("pipeline", "vit", "mae", "controlnet")


@cache
def drawn(name: str, caption: str = "") -> Figure:
    figure = SKETCHES[name](caption=caption)
    figure.set_dpi(100)
    FigureCanvasAgg(figure).draw()  # a closed figure has no canvas that draws
    return figure


def written(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def words(figure: Figure) -> list[str]:
    return [t.get_text() for t in written(figure)]


def frames(figure: Figure) -> list[Bbox]:
    """List the boxes of a sketch, in pixels, the smallest first."""
    patches = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    found = [p.get_path().get_extents(p.get_transform()) for p in patches]
    return sorted(found, key=lambda box: box.width * box.height)


def holds(outer: Bbox, inner: Bbox) -> bool:
    return (
        outer.x0 <= inner.x0
        and outer.y0 <= inner.y0
        and inner.x1 <= outer.x1
        and inner.y1 <= outer.y1
    )


def overlaps(first: Bbox, second: Bbox) -> bool:
    across = min(first.x1, second.x1) - max(first.x0, second.x0)
    return across > 1 and min(first.y1, second.y1) - max(first.y0, second.y0) > 1


@pytest.mark.parametrize("name", SKETCHES)
@pytest.mark.parametrize("caption", ["", "two lines\nof a $5 caption"])
def test_every_sketch_is_legible(name, caption):
    figure = drawn(name, caption)
    extents = [(t.get_text(), t.get_window_extent()) for t in written(figure)]
    assert len(extents) > 5
    boxes = frames(figure)
    for said, extent in extents:
        assert holds(figure.bbox, extent), f"{said!r} leaves the figure"
        middle = ((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)
        around = [box for box in boxes if box.contains(*middle)]
        assert not around or holds(around[0], extent), f"{said!r} leaves its box"
        if not around or around[0].width > BADGE:
            crossed = [box for box in boxes if overlaps(box, extent) and not holds(box, extent)]
            assert not crossed, f"{said!r} lies on the edge of a box"
    for (one, first), (other, second) in itertools.combinations(extents, 2):
        assert not overlaps(first, second), f"{one!r} and {other!r} overlap"
    sizes = {t.get_fontsize() for t in written(figure)}
    assert min(sizes) >= LEAST_POINTS


@pytest.mark.parametrize("name", SKETCHES)
def test_no_arrow_runs_through_words_or_out_of_the_figure(name):
    figure = drawn(name)
    extents = [(t.get_text(), t.get_window_extent()) for t in written(figure)]
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert arrows
    for arrow in arrows:
        path = arrow.get_transform().transform_path(arrow.get_path())
        assert holds(figure.bbox, path.get_extents())
        lines = [Path(line) for line in path.to_polygons(closed_only=False)]
        points = np.concatenate([line.interpolated(40).vertices for line in lines])
        for said, extent in extents:
            assert not any(extent.contains(*point) for point in points), f"through {said!r}"


@pytest.mark.parametrize("name", SKETCHES)
def test_boxes_lie_apart_or_inside_each_other(name):
    boxes = frames(drawn(name))
    for first, second in itertools.combinations(boxes, 2):
        if first.width > BADGE:
            assert holds(second, first) or not overlaps(first, second)


@pytest.mark.parametrize("name", SKETCHES)
def test_a_sketch_fits_a_projector_and_is_closed(name):
    width, height = drawn(name).get_size_inches()
    assert width == 12
    assert height <= 12 * 9 / 16
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", SKETCHES)
def test_where_the_font_has_no_chinese_signs_the_words_are_english(name, monkeypatch):
    english = words(drawn(name))
    for key in texts.catalog():
        if key.startswith(("sketch.", "project.")):
            entry = {**texts.catalog()[key], "zh": "\U0002ebf0"}  # no font has it
            monkeypatch.setitem(texts.catalog(), key, entry)
    monkeypatch.setattr(texts, "placeholders", lambda pattern: set())
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert words(SKETCHES[name]()) == english


def test_every_text_of_the_schematics_is_shown_somewhere():
    shown = "\n".join(t for name in SKETCHES for t in words(SKETCHES[name]()))
    for key, entry in texts.catalog().items():
        if key.startswith("sketch."):
            pattern = re.escape(entry["en"].replace("{{", "{").replace("}}", "}"))
            stacked = pattern.replace(r"\ ", r"\s")
            assert re.search(re.sub(r"\\\{\w+\\\}", ".+", stacked), shown), key


@pytest.mark.parametrize("name", TAKE_A_PICTURE)
@pytest.mark.parametrize(
    "bad", [PICTURE / 255.0, PICTURE[..., 0], PICTURE[..., :2], PICTURE[:0], PICTURE[None]]
)
def test_what_is_no_picture_is_refused(name, bad, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="images must be uint8 of shape"):
        getattr(plots, f"sketch_{name}")(bad)
    with pytest.raises(ValueError, match="images must be uint8 of shape"):
        plots.sketch_chain([PICTURE] * 4 + [bad])
    for sketch in (plots.sketch_crs_diff, plots.sketch_diffusionsat):
        with pytest.raises(ValueError, match="images must be uint8 of shape"):
            sketch([PICTURE, PICTURE, bad])
    for pair in ((PICTURE, bad), (bad, PICTURE)):
        with pytest.raises(ValueError, match="images must be uint8 of shape"):
            plots.sketch_satsynth(*pair)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.sketch_chain([PICTURE] * 4), "expected 5 pictures .* got 4"),
        (lambda: plots.sketch_crs_diff([PICTURE] * 2), "expected 3 pictures .* got 2"),
        (lambda: plots.sketch_diffusionsat([PICTURE] * 4), "expected 3 pictures .* got 4"),
        (lambda: plots.sketch_vit(PICTURE[:2]), "expected a picture of 3 pixels a side"),
        (lambda: plots.sketch_mae(PICTURE[:, :3]), "expected a picture of 4 pixels a side"),
        (lambda: plots.sketch_pipeline(PICTURE, class_names=("a",)), "expected 3 class names"),
        (lambda: plots.sketch_unet((32,)), "expected 2 to 4 levels"),
        (lambda: plots.sketch_unet((8, 8, 8), side=18), "a multiple of 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("shape", [(4, 4, 3), (5, 9, 3), (700, 1201, 3)])
def test_pictures_of_any_size_are_drawn(shape):
    picture = np.zeros(shape, np.uint8)
    picture.flags.writeable = False
    for name in TAKE_A_PICTURE:
        getattr(plots, f"sketch_{name}")(picture[::-1]).draw_without_rendering()


def test_a_small_picture_is_enlarged_by_a_whole_factor_and_the_square_is_its_middle():
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(parts.square(picture), picture[:, 1:3])
    large = parts.enlarge(picture)
    factor = len(large) // 2
    assert len(large) >= 200
    assert np.array_equal(large[::factor, ::factor], picture)
    assert np.array_equal(large, np.kron(picture, np.ones((factor, factor, 1), np.uint8)))


def test_patches_are_in_reading_order_and_make_the_picture_again():
    picture = PICTURE[:, :64]
    rows = np.array(parts.cut(picture, 4)).reshape(4, 4, 16, 16, 3)
    assert np.array_equal(np.concatenate(np.concatenate(rows, axis=1), axis=1), picture)


def test_the_masked_picture_and_its_target_share_no_patch_and_miss_none():
    figure = plots.sketch_mae(np.zeros((8, 8, 3), np.uint8))
    seen, target = (image.get_array()[..., 0] == 0 for image in figure.axes[0].images[:2])
    assert np.array_equal(seen, ~target)
    assert seen.mean() == 0.25


def test_pictures_of_the_chain_stand_in_the_order_that_was_given():
    pictures = [np.full((2, 2, 3), 50 * i, np.uint8) for i in range(5)]
    images = plots.sketch_chain(pictures).axes[0].images
    places = [image.get_extent()[0] for image in images]
    assert places == sorted(places)
    assert [int(image.get_array()[0, 0, 0]) for image in images] == [0, 50, 100, 150, 200]


def alexnet_as_published() -> tuple[torch.nn.Sequential, torch.nn.Sequential]:
    """Build AlexNet from section 3.5 of its paper; two groups where the GPUs did not speak."""
    pool = torch.nn.MaxPool2d(3, 2)
    convolutions = torch.nn.Sequential(
        torch.nn.Conv2d(3, 96, 11, stride=4),
        pool,
        torch.nn.Conv2d(96, 256, 5, padding=2, groups=2),
        pool,
        torch.nn.Conv2d(256, 384, 3, padding=1),
        torch.nn.Conv2d(384, 384, 3, padding=1, groups=2),
        torch.nn.Conv2d(384, 256, 3, padding=1, groups=2),
        pool,
        torch.nn.Flatten(),
    )
    sizes = itertools.pairwise((9216, 4096, 4096, 1000))
    return convolutions, torch.nn.Sequential(*(torch.nn.Linear(*size) for size in sizes))


def test_alexnets_sizes_are_those_of_a_network_that_is_built():
    with torch.device("meta"):
        convolutions, full = alexnet_as_published()
        x, shapes = torch.empty(1, 3, 227, 227), []
        for layer in (*convolutions, *full):
            x = layer(x)
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                shapes.append((x.shape[2] if x.ndim == 4 else 1, x.shape[1]))
    assert [(layer.side, layer.channels) for layer in classifiers.ALEXNET] == shapes
    counted = tuple(sum(p.numel() for p in part.parameters()) for part in (convolutions, full))
    assert classifiers.count_alexnet() == counted
    assert {f"{count / 1e6:.1f} million weights" for count in counted} <= set(
        words(plots.sketch_alexnet())
    )


def test_torchvisions_alexnet_has_the_channels_that_are_said():
    with torch.device("meta"):
        layers = torchvision.models.alexnet().features
    channels = [layer.out_channels for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    listed = texts.text("sketch.alexnet.torchvision")
    assert [int(number) for number in re.findall(r"\d+", listed)] == channels


def test_swins_stages_are_those_of_the_library():
    with torch.device("meta"):
        net = torchvision.models.swin_t()
        x, found = torch.empty(1, 3, 224, 224), []
        for part in net.features:
            x = part(x)
            if isinstance(part, torch.nn.Sequential) and hasattr(part[0], "attn"):
                found.append((x.shape[1], x.shape[3], len(part)))
    assert list(transformers._STAGES) == found
    windows = {m.window_size[0] for m in net.modules() if isinstance(m, ShiftedWindowAttention)}
    assert windows == {transformers._WINDOW}


def test_the_cost_of_attention_is_that_of_its_matrix_products():
    side, channels, window = 12, 6, 4
    num, inside = side**2, window**2
    projections = 4 * num * channels * channels  # queries, keys, values, output
    products = num // inside * 2 * inside * inside * channels
    assert transformers.attention_cost(side, channels, window) == projections + products
    over_all = projections + 2 * num * num * channels
    assert transformers.attention_cost(side, channels, side) == over_all


@pytest.mark.parametrize("channels", [(32, 64, 64), (8, 16), (8, 16, 24, 32)])
def test_the_u_nets_kept_maps_are_those_that_the_network_joins(channels):
    joined = []
    with torch.device("meta"):
        net = UNet(UNetConfig(channels=channels))
        for block in net.down:
            block.register_forward_hook(lambda _module, _inputs, out: joined.append(out.shape[1:]))
        net(torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=torch.long))
    shown = words(plots.sketch_unet(channels, side=16))
    assert [" × ".join(map(str, shape)) for shape in joined] == [
        said for said in shown if re.fullmatch(r"\d+ × \d+ × \d+", said)
    ]
    num_told = sum(said == "$e$" for said in shown) - 2  # where it is made, and in the block
    assert num_told == len(net.down) + len(net.up) + 1


def test_the_bottleneck_is_the_librarys():
    with torch.device("meta"):
        block = torchvision.models.resnet50().layer1[1]
        basic = torchvision.models.resnet18().layer1[0]
    layers = [layer for name, layer in block.named_children() if name.startswith("conv")]
    found = [(f"{c.kernel_size[0]} × {c.kernel_size[1]}", c.out_channels) for c in layers]
    assert list(classifiers._BOTTLENECK) == found
    assert list(classifiers._BASIC) == [
        (f"{c.kernel_size[0]} × {c.kernel_size[1]}", c.out_channels)
        for c in (basic.conv1, basic.conv2)
    ]


def test_the_probabilities_are_the_softmax_of_the_scores():
    shown = words(plots.sketch_pipeline(PICTURE))
    scores = torch.tensor([float(s) for s in shown if re.fullmatch(r"\d\.\d", s)])
    shares = [s for s in shown if re.fullmatch(r"\d\.\d\d", s)]
    assert shares == [f"{share:.2f}" for share in scores.softmax(dim=0).tolist()]


def test_text2earths_meters_follow_from_its_level():
    level = int(re.search(r"\d+", texts.text("sketch.text2earth.level")).group())
    meters = int(re.search(r": (\d+) m", texts.text("sketch.text2earth.level_what")).group(1))
    assert meters == 2 ** (17 - level)
    assert texts.text("sketch.text2earth.prompt_what").startswith(f"{level}_GOOGLE_LEVEL_")


def test_every_kind_has_a_color_of_its_own_that_is_dark_enough_to_read():
    assert len(set(parts.COLORS.values())) == len(parts.COLORS)
    for kind, color in parts.COLORS.items():
        levels = np.array(to_rgb(color))  # the contrast of WCAG 2
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) >= 4.5, kind


def test_every_sketch_can_be_called_from_the_package():
    listed = {name for name in plots.__all__ if name.startswith("sketch_")}
    assert listed == {f"sketch_{name}" for name in SKETCHES if hasattr(plots, f"sketch_{name}")}
    assert len(listed) == 16
    assert runtime.language() == "en"


def test_what_is_frozen_is_dashed_and_white_and_only_where_it_is_said():
    def dashed(name: str) -> int:
        boxes = [p for p in drawn(name).axes[0].patches if isinstance(p, FancyBboxPatch)]
        found = [box for box in boxes if box.get_linestyle() not in ("solid", "-")]
        assert all(to_rgb(box.get_facecolor()[:3]) == (1, 1, 1) for box in found)
        return len(found)

    # the block; three encoders, three decoders and the middle; the text tower and the U-Net
    assert {name: dashed(name) for name in SKETCHES if dashed(name)} == {
        "controlnet": 8,
        "crs_diff": 2,
        "diffusionsat": 1,
    }


def test_the_bits_of_the_example_are_those_of_its_class():
    said = texts.text("sketch.satsynth.bits_what")
    number, bits = re.search(r"class (\d) of \d: ([01]+)", said).groups()
    assert int(bits, 2) == int(number)
    signs = re.findall(r"[+-]1", said)
    assert signs == ["+1" if bit == "1" else "-1" for bit in bits]


def test_the_two_orders_of_metadata_are_those_of_the_code():
    names = {"m per pixel": "meters_per_pixel", "cloud": "cloud_share"}

    def order(key: str) -> list[str]:
        listed = [word.strip() for word in texts.text(key).split(":")[0].split(",")]
        return [names.get(word, word) for word in listed]

    ours = list(RANGES)
    assert order("sketch.diffusionsat.numbers_what") == ours
    longitude, latitude, meters, cloud, *date = ours
    assert order("sketch.crs_diff.numbers_what") == [*date, meters, cloud, latitude, longitude]
