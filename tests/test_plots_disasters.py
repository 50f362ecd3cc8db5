"""Figures of notebook 06: they hold the numbers they were given, in the right colors, apart."""

import itertools
import warnings
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import pytest
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from shapely import MultiPolygon, Polygon, box

import mini_earth
from course_utils import plots
from course_utils.plots import buildings, pairs, style
from course_utils.plots.labels import place_names
from course_utils.texts import catalog, text
from course_utils.xbd.events import CLASSES, read_events
from course_utils.xbd.labels import Building, DamageLevel, Metadata

EVENTS = read_events()
COUNTS = {name: event.num_buildings for name, event in EVENTS.items()}
GREY = np.full((40, 60, 3), 100, np.uint8)
DARK = np.full((40, 60, 3), 20, np.uint8)
HOLE = Polygon(box(2, 2, 30, 30).exterior, [box(10, 10, 20, 20).exterior])
TWO_PARTS = MultiPolygon([box(35, 2, 40, 8), box(45, 2, 50, 8)])
BUILDINGS = [
    Building("a", HOLE, DamageLevel.DESTROYED),
    Building("b", TWO_PARTS, DamageLevel.MINOR),
    Building("c", box(35, 20, 40, 28), DamageLevel.MINOR),
    Building("d", Polygon(), DamageLevel.MAJOR, is_empty=True),
    Building("e", box(50, 30, 70, 50), DamageLevel.UNCLASSIFIED),  # over the border
]


def draw(figure: Figure) -> np.ndarray:
    """Draw a figure, also a closed one, and give its pixels."""
    figure.set_dpi(160)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def pixel(figure: Figure, ax: plt.Axes, point: tuple[float, float]) -> str:
    """Give the color that was drawn at a point of the data."""
    pixels = draw(figure)
    column, row = ax.transData.transform(point)
    return to_hex(pixels[len(pixels) - 1 - int(row), int(column)] / 255).upper()


def texts(figure: Figure) -> list[Text]:
    """Draw a figure for a projector and list its words, legends included."""
    draw(figure)
    beyond = set()  # ticks that the limits hide
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                beyond |= {tick.label1, tick.label2}
    found = [t for t in figure.findobj(Text) if t not in beyond and t.get_visible()]
    return [t for t in found if t.get_text().strip()]


def words(figure: Figure) -> list[str]:
    return [t.get_text() for t in texts(figure)]


def extent_of(t: Text) -> Bbox:
    """Give the box of a text in pixels, without arrows, with the colored box around it if any."""
    patch = t.get_bbox_patch()
    return Text.get_window_extent(t) if patch is None else patch.get_window_extent()


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """List pairs of texts whose boxes overlap by more than a hair, at the size of a projector."""
    boxes = [(t.get_text(), extent_of(t)) for t in texts(figure)]
    return [
        (a, b)
        for (a, first), (b, second) in itertools.combinations(boxes, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]


def outside(figure: Figure) -> list[str]:
    """List the texts that do not lie on the figure as a whole."""
    room = figure.bbox
    boxes = [(t.get_text(), extent_of(t)) for t in texts(figure)]
    return [
        name
        for name, extent in boxes
        if extent.x0 < room.x0 or extent.y0 < room.y0 or extent.x1 > room.x1 or extent.y1 > room.y1
    ]


def metadata(angle: float | None, sun: float | None, date: datetime | None) -> Metadata:
    return Metadata(off_nadir_angle=angle, sun_elevation=sun, capture_date=date)


def every_figure() -> dict[str, Figure]:
    """Draw each figure once, with plenty in it."""
    crops = {level: [GREY[:40, :40]] * 4 for level in DamageLevel}
    splits = [
        {"split": split, "seed": seed, "accuracy": a, "accuracy_low": a - 0.05,
         "accuracy_high": a + 0.04}
        for split, a in (("random", 0.9), ("event", 0.6)) for seed in range(5)
    ]  # fmt: skip
    when = datetime(2017, 5, 1, tzinfo=UTC)
    scene = (metadata(10.0, 60.0, when), metadata(25.0, 40.0, when.replace(year=2019)))
    areas = np.random.default_rng(0).lognormal(5, 1, 500)
    return {
        "world_map": plots.world_map(EVENTS),
        "world_map_few": plots.world_map({n: EVENTS[n] for n in ("palu-tsunami", "socal-fire")}),
        "event_counts": plots.event_counts(EVENTS),
        "damage_imbalance": plots.damage_imbalance(COUNTS),
        "damage_by_type": plots.damage_by_type(COUNTS),
        "show_pair": plots.show_pair(
            GREY, DARK, buildings_pre=BUILDINGS[:2], buildings_post=BUILDINGS, caption="a pair"
        ),
        "show_swipe": plots.show_swipe(
            GREY, DARK, position=0.5, buildings=BUILDINGS, caption="a pair"
        ),
        "show_swipes": plots.show_swipes(
            {"real": (GREY, DARK, BUILDINGS), "rendered": (DARK, GREY, ())}, caption="beside"
        ),
        "show_tiles": plots.show_tiles(
            {f"some-volcano_0000000{k}": (GREY, DARK) for k in range(5)}, caption="five tiles"
        ),
        "building_sizes": plots.building_sizes(dict.fromkeys(CLASSES, areas), caption="sizes"),
        "crops_by_level": plots.crops_by_level(crops, caption="crops"),
        "damage_scale": plots.damage_scale(crops),
        "acquisitions": plots.acquisitions(dict.fromkeys(EVENTS, [scene] * 3), caption="how"),
        "compare_splits": plots.compare_splits(splits, levels={"guessing": 0.3}, caption="splits"),
        "confusion": plots.confusion_figure(np.arange(36).reshape(6, 6), CLASSES, caption="c"),
    }


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return every_figure()


def test_no_words_overlap_and_all_lie_on_the_figure(figures):
    for name, figure in figures.items():
        assert (name, overlaps(figure), outside(figure)) == (name, [], [])


def test_every_figure_says_what_it_shows_in_words_that_a_projector_carries(figures):
    assert all(figure.get_suptitle() for figure in figures.values())
    sizes = {name: min(t.get_fontsize() for t in texts(f)) for name, f in figures.items()}
    assert min(sizes.values()) >= 8, sizes
    assert not plt.get_fignums()


def test_figures_are_drawn_in_english_where_no_font_has_chinese_signs(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    monkeypatch.setattr(style, "_drawable", lambda families: frozenset(range(0x2E80)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as matplotlib does for every glyph it lacks
        for figure in every_figure().values():
            assert all(max(word) < "\u2e80" for word in words(figure))
            draw(figure)


def test_figures_speak_chinese_where_a_font_does(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    monkeypatch.setattr(style, "_drawable", lambda families: frozenset(range(0x30000)))
    assert style.level_name(DamageLevel.MINOR) == catalog()["damage.minor"]["zh"]
    assert style.class_name("wind") == catalog()["disaster.wind"]["zh"]
    assert plots.event_counts(EVENTS).axes[1].get_xlabel() == catalog()["plot.pairs"]["zh"]


# --- colors --------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes 2009, full severity, linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def cielab(color: str, vision: str) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    xyz = XYZ @ seen / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(
    ("colors", "others", "least"),
    [
        (plots.DAMAGE_COLORS, plots.DAMAGE_COLORS, 20),
        (plots.DISASTER_COLORS, plots.DISASTER_COLORS, 17),
        (style.SPLIT_COLORS, style.SPLIT_COLORS, 19),
        (plots.DAMAGE_COLORS, plots.SOURCE_COLORS, 14),
    ],
)
def test_colors_can_be_told_apart_by_everyone(vision, colors, others, least):
    for color, other in itertools.product(colors.values(), others.values()):
        distance = np.linalg.norm(cielab(color, vision) - cielab(other, vision))
        assert color == other or distance > least


def test_damage_darkens_from_minor_to_destroyed():
    lightness = [
        cielab(plots.DAMAGE_COLORS[DamageLevel(level)], "normal")[0] for level in (2, 3, 4)
    ]
    assert lightness[0] > lightness[1] + 20 > lightness[2] + 40


def test_every_level_and_class_has_a_color_and_every_class_its_own_mark():
    assert list(plots.DAMAGE_COLORS) == list(DamageLevel)
    assert set(plots.DISASTER_COLORS) == set(plots.DISASTER_MARKERS) == set(CLASSES)
    for values in (plots.DAMAGE_COLORS, plots.DISASTER_COLORS, plots.DISASTER_MARKERS):
        assert len(set(values.values())) == len(values)


# --- the map -------------------------------------------------------------------------------------


def test_every_event_is_named_once_and_marked_at_its_place():
    figure = plots.world_map(EVENTS)
    found = words(figure)
    assert all(found.count(name) == 1 for name in EVENTS)
    marks = {
        (round(line.get_xdata()[0], 6), round(line.get_ydata()[0], 6)): line
        for line in figure.axes[0].lines
    }
    for event in EVENTS.values():
        mark = marks[round(event.longitude, 6), round(event.latitude, 6)]
        assert mark.get_color() == plots.DISASTER_COLORS[event.xbd_class]
        assert mark.get_marker() == plots.DISASTER_MARKERS[event.xbd_class]


def test_the_map_shows_land_where_land_is():
    figure = plots.world_map(EVENTS)
    ax = figure.axes[0]
    sahara, atlantic, caspian = (pixel(figure, ax, p) for p in ((11, 22), (-31, 5), (51, 42)))
    assert atlantic == to_hex(ax.get_facecolor()).upper()
    assert caspian == atlantic != sahara  # a hole in the land
    assert pixel(figure, ax, (-110, 55)) == pixel(figure, figure.axes[1], (-105, 36)) == sahara


def test_the_detail_holds_the_events_inside_its_box_and_the_world_names_the_others():
    world, detail = plots.world_map(EVENTS).axes
    named = [{t.get_text() for t in ax.texts} for ax in (world, detail)]
    assert named[0] == {"lower-puna-volcano", "portugal-wildfire", "nepal-flooding",
                        "palu-tsunami", "sunda-tsunami", "pinery-bushfire"}  # fmt: skip
    assert named[0] | named[1] == set(EVENTS)


def test_names_keep_off_marks_other_than_their_own():
    figure = plots.world_map(EVENTS)
    draw(figure)
    for ax in figure.axes:
        for name in ax.texts:
            extent = Text.get_window_extent(name)
            for event in EVENTS.values():
                x, y = ax.transData.transform((event.longitude, event.latitude))
                inside = extent.x0 < x < extent.x1 and extent.y0 < y < extent.y1
                assert not (inside and ax.bbox.contains(x, y))


def test_the_legend_counts_events_and_pairs_of_each_class():
    figure = plots.world_map(EVENTS)
    assert "flooding (4): 2,132" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_a_name_without_room_is_an_error_and_not_an_overlap():
    _, ax = plt.subplots(figsize=(1, 1))
    points = [(0.5, 0.5 + i / 1000) for i in range(12)]
    with pytest.raises(ValueError, match="no free place"):
        place_names(ax, points, ["a long name"] * 12, mark_size=6.0)
    plt.close("all")


# --- counts --------------------------------------------------------------------------------------


def widths(ax: plt.Axes) -> np.ndarray:
    """Give the lengths of stacked bars: one row a color, one column a bar."""
    return np.array([[bar.get_width() for bar in bars] for bars in ax.containers])


def test_bars_of_pairs_add_up_to_the_published_numbers():
    ax = plots.event_counts(EVENTS).axes[1]
    assert [c.get_label() for c in ax.containers] == ["train", "tier3", "test", "hold"]
    assert widths(ax).sum(axis=1).tolist() == [2799, 6369, 933, 933]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:3] == ["portugal-wildfire", "pinery-bushfire", "socal-fire"]
    harvey = widths(ax)[:, names.index("hurricane-harvey")]
    assert harvey.tolist() == [319, 0, 108, 95]


def test_events_stand_in_groups_by_class_in_order_of_their_pairs():
    side, ax = plots.event_counts(EVENTS).axes
    classes = [t.get_text() for t in sorted(side.texts, key=lambda t: t.get_position()[1])]
    assert classes == ["wildfire", "flooding", "wind", "tsunami", "volcano", "earthquake"]
    heights = ax.get_yticks()
    assert (np.diff(heights) > 1.5).sum() == 5


def test_shares_of_damage_fill_the_bar_and_the_numbers_stand_beside():
    figure = plots.damage_imbalance(COUNTS)
    ax = figure.axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert np.allclose(widths(ax).sum(axis=0), 100)
    assert names[0] == "hurricane-matthew"
    assert names[-1] == "mexico-earthquake"
    matthew = np.array(list(COUNTS["hurricane-matthew"].values()))
    assert np.allclose(widths(ax)[:, 0], 100 * matthew / matthew.sum())
    numbers = [t.get_text() for t in figure.axes[1].texts]
    assert {"51,084", "221", "54", "3", "111", "51,473"} <= set(numbers)
    colors = [to_hex(bars[0].get_facecolor()).upper() for bars in ax.containers]
    assert colors == list(plots.DAMAGE_COLORS.values())


def test_each_level_is_divided_among_the_disasters():
    ax = plots.damage_by_type(COUNTS).axes[0]
    shares = widths(ax)
    assert shares.shape == (6, 5)
    assert np.allclose(shares.sum(axis=0), 100)
    minor = [label.get_text() for label in ax.get_yticklabels()].index("minor damage\nn = 36,860")
    earthquake = list(plots.DISASTER_COLORS).index("earthquake")
    assert np.isclose(shares[earthquake, minor], 100 * 221 / 36_860)


def test_levels_and_events_without_buildings_are_left_out():
    some = {"palu-tsunami": {DamageLevel.MAJOR: 3}, "socal-fire": {}}
    assert widths(plots.damage_imbalance(some).axes[0]).shape == (5, 1)
    assert widths(plots.damage_by_type(some).axes[0]).shape == (1, 1)


# --- pairs ---------------------------------------------------------------------------------------


def outlines(ax: plt.Axes) -> dict[str, PathCollection]:
    """Give the collections of outlines by color, without the black ones below them."""
    found = [c for c in ax.collections if isinstance(c, PathCollection)]
    return {to_hex(c.get_edgecolor()[0]).upper(): c for c in found
            if to_hex(c.get_edgecolor()[0]) != "#000000"}  # fmt: skip


def test_buildings_are_outlined_in_the_color_of_their_damage():
    figure = plots.show_pair(GREY, DARK, buildings_post=BUILDINGS)
    drawn = outlines(figure.axes[2])
    expected = {DamageLevel.MINOR: 2, DamageLevel.DESTROYED: 1, DamageLevel.UNCLASSIFIED: 1}
    assert {plots.DAMAGE_COLORS[level]: n for level, n in expected.items()} == {
        color: len(collection.get_paths()) for color, collection in drawn.items()
    }
    assert not outlines(figure.axes[0])
    legend = [t.get_text() for t in figure.axes[3].get_legend().get_texts()]
    assert legend == ["minor damage: 2", "destroyed: 1", "un-classified: 1"]


def test_buildings_without_a_grade_are_white():
    before = [Building(b.uid, b.polygon, None) for b in BUILDINGS]
    figure = plots.show_pair(GREY, DARK, buildings_pre=before)
    (drawn,) = outlines(figure.axes[0]).items()
    assert drawn[0] == "#FFFFFF"
    assert len(drawn[1].get_paths()) == 4


def test_holes_and_parts_stay_what_they_are():
    figure = Figure()
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, 100), ylim=(0, 40))
    for shape in (HOLE, TWO_PARTS, shapely.reverse(shapely.affinity.translate(HOLE, 60.0))):
        ax.add_patch(PathPatch(buildings.polygon_path(shape), facecolor="#FF0000"))
    inside, outside = ((5, 5), (25, 25), (37, 5), (47, 5), (65, 5)), ((15, 15), (42, 5), (75, 15))
    assert {pixel(figure, ax, point) for point in inside} == {"#FF0000"}
    assert {pixel(figure, ax, point) for point in outside} == {"#FFFFFF"}
    torn = shapely.from_wkt("POLYGON ((0 0, 10 10, 10 0, 0 10, 0 0))")  # crosses itself
    assert len(buildings.polygon_path(torn).vertices) == 5


def test_pixels_and_polygons_share_their_outer_corner():
    ax = plots.show_pair(GREY, DARK).axes[0]
    assert ax.images[0].get_extent() == [0, 60, 40, 0]
    assert ax.get_ylim() == (40, 0)
    assert np.array_equal(ax.images[0].get_array(), GREY)


def test_images_of_a_pair_may_differ_in_size():
    figure = plots.show_pair(GREY, DARK[:20], caption="c $1$")
    assert [ax.get_title() for ax in figure.axes[::2]] == ["before", "after"]
    draw(figure)


@pytest.mark.parametrize("position", [0.0, 0.3, 0.5, 1.0])
def test_the_line_divides_before_from_after(position):
    ax = plots.show_swipe(GREY, DARK, position=position, buildings=BUILDINGS).axes[0]
    x = 60 * position
    drawn = [(image.get_extent(), int(np.mean(image.get_array()))) for image in ax.images]
    expected = [([0, x, 40, 0], 100), ([x, 60, 40, 0], 20)]
    assert drawn == [item for item in expected if item[0][0] < item[0][1]]
    assert all(line.get_xdata() == [position] * 2 for line in ax.lines)
    clip = next(iter(outlines(ax).values())).get_clip_box()
    (left, _), (right, _) = ax.transData.inverted().transform(clip)
    assert (left, right) == pytest.approx((x, 60), abs=1e-6)


def test_sides_have_names_where_there_is_room():
    def names(position: float) -> set[str]:
        figure = plots.show_swipe(GREY, DARK, position=position)
        return {t.get_text() for t in figure.axes[0].texts}

    assert names(0.5) == {"before", "after"}
    assert names(0.0) == {"after"}
    assert names(0.95) == {"before"}


def test_places_beside_each_other_are_each_drawn_as_alone():
    places = {"real": (GREY, DARK, BUILDINGS), "rendered": (DARK, GREY, ())}
    figure = plots.show_swipes(places, position=0.25)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == ["real", "rendered"]
    for ax, (pre, post, some) in zip(shown, places.values(), strict=True):
        alone = plots.show_swipe(pre, post, position=0.25, buildings=some).axes[0]
        assert [image.get_extent() for image in ax.images] == [
            image.get_extent() for image in alone.images
        ]
        assert len(outlines(ax)) == len(outlines(alone))
    for refused in ({}, {"a": (GREY, DARK[:20], ())}):
        with pytest.raises(ValueError, match=r"no places|one size"):
            plots.show_swipes(refused)


def test_tiles_stand_in_columns_before_above_after():
    figure = plots.show_tiles({"volcano_1": (GREY, DARK), "fire_2": (DARK, GREY)})
    shown = [ax for ax in figure.axes if ax.images]
    assert [int(ax.images[0].get_array().mean()) for ax in shown] == [100, 20, 20, 100]
    assert [ax.get_title() for ax in shown] == ["volcano\n1", "fire\n2", "", ""]
    with pytest.raises(ValueError, match="no places"):
        plots.show_tiles({})


def test_large_images_are_shrunk_without_moving_the_polygons():
    large = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    ax = plots.show_swipe(large, large, position=0.4, buildings=BUILDINGS, max_size=100).axes[0]
    assert sum(image.get_array().shape[1] for image in ax.images) == 100
    assert ax.images[-1].get_extent() == [200, 500, 300, 0]
    assert np.allclose(pairs.shrink(large, 100)[3, 7], large[15:20, 35:40].mean((0, 1)), atol=1)
    assert pairs.shrink(large, 500) is large


def test_swiping_shows_the_pixels_where_they_are_in_a_pair():
    figure = plots.show_swipe(GREY, DARK, position=0.5)
    colors = [pixel(figure, figure.axes[0], (x, 30)) for x in (15, 45)]
    assert colors == ["#646464", "#141414"]


# --- crops, sizes, acquisitions, scores ----------------------------------------------------------


def test_a_row_of_framed_crops_for_every_level_that_has_some():
    crops = {
        DamageLevel.DESTROYED: [GREY] * 3,
        DamageLevel.NO_DAMAGE: [DARK],
        DamageLevel.MINOR: [],
    }
    figure = plots.crops_by_level(crops)
    assert len(figure.axes) == 6
    assert figure.axes[0].get_ylabel() == "no damage"
    assert figure.axes[3].get_ylabel() == "destroyed"
    assert sum(bool(ax.images) for ax in figure.axes) == 4
    for ax, level in ((figure.axes[0], 1), (figure.axes[4], 4)):
        frame = to_hex(ax.spines["left"].get_edgecolor()).upper()
        assert frame == plots.DAMAGE_COLORS[DamageLevel(level)]


def test_the_scale_has_a_row_for_every_level_with_its_value_and_words():
    figure = plots.damage_scale({DamageLevel.MINOR: [GREY] * 9})
    found = " ".join(words(figure))
    for level in DamageLevel:
        assert str(int(level)) in found
        definition = catalog()[f"damage.{level.name.lower()}.definition"]["en"]
        assert definition[:20] in found
    assert found.count("no example here") == 4
    assert sum(bool(ax.images) for ax in figure.axes) == 3


def test_medians_of_building_sizes_are_those_of_all_buildings():
    areas = np.concatenate([np.full(1000, 50.0), np.full(1001, 120.0)])
    figure = plots.building_sizes({"flooding": areas, "wind": np.array([])})
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    assert "median 120 m², n = 2,001" in words(figure)
    assert "no buildings" in words(figure)
    assert len(ax.collections[0].get_offsets()) <= 401


def test_acquisitions_run_from_before_to_after():
    early, late = datetime(2017, 6, 22, 18, tzinfo=UTC), datetime(2017, 10, 11, 19)
    scenes = {
        "palu-tsunami": [(metadata(5.0, 70.0, early), metadata(21.0, 43.0, late))],
        "joplin-tornado": [(metadata(None, 50.0, None), metadata(9.0, 55.0, late))] * 2,
        "none": [],
    }
    angle, sun, date = plots.acquisitions(scenes).axes
    lines = [line.get_xdata() for line in angle.lines if line.get_linestyle() == "-"]
    assert [list(x) for x in lines] == [[5.0, 21.0]]
    rows = [line.get_ydata()[0] for line in sun.lines if line.get_linestyle() == "-"]
    assert rows == pytest.approx([0.0, 0.85, 1.15])
    hollow = [line for line in sun.lines if line.get_markerfacecolor() == "#FFFFFF"]
    assert sorted(line.get_xdata()[0] for line in hollow) == [50.0, 50.0, 70.0]
    assert sum(line.get_linestyle() == "-" for line in date.lines) == 1
    assert [t.get_text() for t in angle.get_yticklabels()] == ["palu-tsunami", "joplin-tornado"]


def test_splits_show_every_seed_with_its_interval_and_the_mean():
    rows = [
        {"split": split, "seed": seed, "accuracy": a + seed / 100,
         "accuracy_low": a - 0.02, "accuracy_high": a + 0.08}
        for split, a in (("random", 0.8), ("event", 0.5)) for seed in (0, 1, 2)
    ]  # fmt: skip
    figure = plots.compare_splits(rows, levels={"always the first class": 0.25})
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["random split", "split by event"]
    assert {"81.0 %", "51.0 %", "always the first class"} <= set(words(figure))
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert np.allclose([line.get_ydata() for line in dots], [[80, 81, 82], [50, 51, 52]])
    spans = [c.get_segments() for c in ax.collections]
    assert np.allclose(spans[0][0][:, 1], [78, 88])


def test_rows_of_the_confusion_matrix_add_up_to_one_hundred():
    confusion = np.array([[30, 10], [0, 0]])
    figure = plots.confusion_figure(confusion, ["no damage", "wind"])
    assert np.allclose(figure.axes[0].images[0].get_array(), [[75, 25], [0, 0]])
    found = words(figure)
    assert {"75 %", "25 %", "30", "10", "no damage\nn = 40", "wind\nn = 0"} <= set(found)
    assert found.count("–") == 2


def test_rows_and_columns_of_a_confusion_may_be_something_else_than_truth_and_answer():
    (ax,) = plots.confusion_figure(np.eye(2, dtype=int), ["a", "b"], down="$", across="c").axes
    assert (ax.get_ylabel(), ax.get_xlabel()) == (r"\$", "c")
    (ax,) = plots.confusion_figure(np.eye(2, dtype=int), ["a", "b"]).axes
    assert (ax.get_ylabel(), ax.get_xlabel()) == (text("plot.true"), text("plot.predicted"))


BAD_ROW = {"split": "random", "seed": 0, "accuracy": 0.5, "accuracy_low": 0.6, "accuracy_high": 0.7}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.world_map({}), "no events"),
        (lambda: plots.event_counts({}), "no events"),
        (lambda: plots.damage_imbalance({}), "no buildings"),
        (lambda: plots.damage_imbalance({"x": {DamageLevel.MINOR: -1}}), "0 or more"),
        (lambda: plots.damage_by_type({"atlantis": {DamageLevel.MINOR: 1}}), "atlantis"),
        (lambda: plots.show_pair(GREY / 1.0, GREY), "uint8|UInt8"),
        (lambda: plots.show_swipe(GREY, GREY[:20], position=0.5), "one size"),
        (lambda: plots.show_swipe(GREY, GREY, position=1.5), "position"),
        (lambda: plots.show_swipe(GREY, GREY, position=0.5, max_size=0), "max_size"),
        (lambda: plots.building_sizes({}), "no buildings"),
        (lambda: plots.building_sizes({"wind": np.array([1.0, 0.0])}), "above 0"),
        (lambda: plots.building_sizes({"wind": np.array([1.0, np.nan])}), "finite"),
        (lambda: plots.crops_by_level({DamageLevel.MINOR: []}), "no crops"),
        (lambda: plots.acquisitions({"x": []}), "no scenes"),
        (lambda: plots.compare_splits([]), "no rows"),
        (lambda: plots.compare_splits([{"split": "random"}]), "lacks seed, accuracy"),
        (lambda: plots.compare_splits([BAD_ROW]), "low <= accuracy"),
        (lambda: plots.confusion_figure(np.eye(2, dtype=int), ["a"]), "2 class names"),
        (lambda: plots.confusion_figure(np.array([[-1]]), ["a"]), "0 or more"),
        (lambda: plots.figure_bytes(Figure(), file_format="bmp"), "png"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(Exception, match=message):
        call()


def test_figures_are_encoded_as_png_or_jpeg():
    figure = plots.show_pair(GREY, DARK)
    assert plots.figure_bytes(figure).startswith(b"\x89PNG")
    assert plots.figure_bytes(figure, file_format="jpeg").startswith(b"\xff\xd8")


def test_the_maps_of_a_scene_are_five_panels_with_a_legend_of_what_is_there():
    scene = mini_earth.disaster_scene("wind", "temperate_airborne", seed=3)
    view = mini_earth.render(scene, size=64)
    outlines = mini_earth.outlines(scene, size=64)
    fig = plots.scene_maps(view, outlines)
    assert len(fig.axes) == 5
    assert len(fig.axes[1].collections) == len(outlines)
    shown = {text.get_text() for text in fig.legends[0].get_texts()}
    assert shown == {mini_earth.LAND_COVER[code] for code in np.unique(view.land_cover)}
