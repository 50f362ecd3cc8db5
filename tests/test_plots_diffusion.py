"""Figures of notebook 01: they show what the formulas say, legibly, and refuse what they cannot."""

import csv
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from test_plots_generation import assert_legible, pixels_of, words_of

from course_utils import plots
from course_utils.diffusion import NoiseSchedule, TrainStep, q_sample
from course_utils.images import to_bytes
from course_utils.samplers import SampleStep, SolverError, ddim_sample
from course_utils.texts import catalog

DATA = Path(__file__).resolve().parents[1] / "data"
LINEAR = NoiseSchedule.linear()
THREE = {
    "linear": LINEAR,
    "scaled linear": NoiseSchedule.scaled_linear(),
    "cosine": NoiseSchedule.cosine(),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def timeline() -> list[dict]:
    with open(DATA / "published" / "generative_timeline.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def to_origin(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Denoise data that is all 0: everything is noise."""
    assert t.dtype == torch.int64
    assert t.shape == (len(x_t),)
    return x_t / (1 - LINEAR.alpha_bar[t]).sqrt().view(-1, *[1] * (x_t.dim() - 1))


def sampled(*shape: int, num_sample_steps: int = 12) -> tuple[torch.Tensor, list[SampleStep]]:
    x_T = randn(*shape)
    return x_T, list(ddim_sample(to_origin, x_T, LINEAR, num_sample_steps=num_sample_steps))


def train_steps(num: int) -> list[TrainStep]:
    noise = np.random.default_rng(0).random(num)
    return [TrainStep(i, float(0.1 + noise[i] / (i + 1)), 1e-3, i / 9) for i in range(num)]


def quality(sampler: str, **changes: object) -> list[dict]:
    rows = [
        {
            "sampler": sampler,
            "num_sample_steps": n,
            "value": 9.0 * i,
            "low": 8.0 * i,
            "high": 10 * i,
        }
        for i, n in enumerate((1, 2, 5, 10, 20, 50, 100, 1000))
    ]
    return [{**row, **changes} for row in rows]


def order_errors(order: int) -> list[SolverError]:
    return [SolverError(n, 3.0 / n**order) for n in (10, 20, 50, 100, 200)]


def figures() -> dict[str, Figure]:
    """Draw every figure in a usual and in an awkward size."""
    image, noise, points = randn(3, 16, 16).clamp(-1, 1), randn(3, 16, 16, seed=1), randn(50, 2)
    x_T, steps = sampled(8, 1, 8, 8)
    flat = np.ones((9, 1)) * np.arange(9)[:, None]
    return {
        "timeline": plots.plot_timeline(timeline(), caption="Generative models"),
        "one paper": plots.plot_timeline(timeline()[:1]),
        "schedules": plots.plot_schedules(THREE, caption="T = 1000"),
        "short": plots.plot_schedules({"a $x$": NoiseSchedule.linear(2, 0.1, 0.2)}),
        "noising": plots.show_noising(image, THREE, [0, 9, 99, 500, 999], eps=noise, caption="a"),
        "one noising": plots.show_noising(
            image[:1], {"linear": LINEAR}, range(0, 1000, 111), eps=noise[:1]
        ),
        "one image": plots.show_noising(image[:1], {"a": LINEAR}, [3], eps=noise[:1]),
        "noised": plots.show_noised(image, 300, LINEAR, eps=noise, caption="a tile"),
        "many histograms": plots.compare_samples(
            {f"t = {t}": {"step by step": flat, "in one jump": flat + 1} for t in range(4)},
            caption="the same",
        ),
        "histograms": plots.compare_samples(
            {"t = 9": {"a": flat, "b": flat + 1}}, axis_label="value of a pixel"
        ),
        "posterior": plots.plot_posterior(0.5, 0.9, 60, LINEAR, caption="one pixel"),
        "field": plots.plot_vector_field(
            to_origin, points, LINEAR, [5, 100, 300, 700], generator=generator(), caption="moons"
        ),
        "point clouds": plots.plot_clouds(
            {f"after {i} $": points for i in range(7)}, data=points, caption="DDIM"
        ),
        "one cloud": plots.plot_clouds({"data": points}),
        "film": plots.show_reverse(x_T, steps, caption="12 steps"),
        "batches": plots.show_batches({f"η = {e}": x_T for e in (0, 0.5, 1)}),
        "inpainting": plots.show_inpainting(
            x_T, torch.ones(1, 1, 8, 8, dtype=torch.bool), {"RePaint": x_T}, caption="upper half"
        ),
        "loss": plots.plot_loss({"digits": train_steps(900), "b $": train_steps(500)}, caption="c"),
        "loss by t": plots.plot_loss_by_t(
            {"best": {0: 0.9, 500: 0.1}, "learned $": {999: 0.01, 0: 1.0, 400: 0.2}}, caption="c"
        ),
        "one loss by t": plots.plot_loss_by_t({"a": {3: 0.5}}, baseline=None),
        "one loss": plots.plot_loss({"digits": train_steps(1)}, baseline=None),
        "by steps": plots.plot_by_steps(
            [row for name in ("DDPM", "DDIM", "DPM-Solver++(2M)") for row in quality(name)],
            measure="recognized by the classifier (%)",
            caption="50 samples a class",
        ),
        "order": plots.plot_solver_order(
            {"DDIM": order_errors(1), "DPM-Solver++(2M)": order_errors(2)},
            orders={"DDIM": 1, "DPM-Solver++(2M)": 2},
            caption="Gaussian data",
        ),
    }


def test_every_figure_is_legible_and_none_stays_open():
    for figure in figures().values():
        assert_legible(figure)
        assert figure.get_figwidth() <= 13
        for legend in figure.legends:
            frame = legend.get_window_extent()
            for ax in figure.axes:
                assert not frame.overlaps(ax.get_window_extent())
    assert not plt.get_fignums()


@pytest.mark.filterwarnings("ignore:Glyph")  # such a font is only pretended to be here
def test_figures_speak_chinese_where_the_font_can(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    monkeypatch.setattr(plots.style, "_drawable", lambda families: frozenset(range(0x20000)))
    said = [words.get_text() for figure in figures().values() for words in figure.findobj(Text)]
    assert "训练步" in said
    assert "遥感" in said
    assert not [words for words in said if "step t" in words]


# --- Timeline ---------------------------------------------------------------------------------

FAMILIES = {
    "VAE", "GAN", "flow", "autoregressive", "diffusion", "latent diffusion", "flow matching",
    "remote sensing",
}  # fmt: skip
COURSE = {"Text2Earth", "CRS-Diff", "DiffusionSat", "SatSynth"}


def test_the_table_of_papers_is_well_formed():
    rows = timeline()
    columns = ["name", "year", "month", "family", "what_was_new", "citation", "arxiv"]
    assert all(list(row) == columns and all(row.values()) for row in rows)
    assert {row["family"] for row in rows} == FAMILIES
    assert {row["name"] for row in rows if row["family"] == "remote sensing"} == COURSE
    for column in ("name", "citation", "arxiv", "what_was_new"):
        assert len({row[column] for row in rows}) == len(rows)
    dates = [(int(row["year"]), int(row["month"])) for row in rows]
    assert dates == sorted(dates)
    assert 20 <= len(rows) <= 30


@pytest.mark.parametrize("row", timeline(), ids=lambda row: row["name"])
def test_a_paper_has_an_arxiv_id_of_its_month_and_a_citation(row):
    year, month = re.fullmatch(r"arXiv:(\d\d)(\d\d)\.\d{4,5}", row["arxiv"]).groups()
    assert (2000 + int(year), int(month)) == (int(row["year"]), int(row["month"]))
    assert len(row["arxiv"].split(".")[1]) == (4 if int(year) < 15 else 5)  # as arXiv counts
    authors, rest = row["citation"].split(": ", 1)
    assert re.search(r"et al\.$| and ", authors)
    assert re.search(r"\. ((.*) )?20\d\d( workshop)?$", rest)
    assert len(row["what_was_new"]) <= 120
    assert not row["what_was_new"].endswith(".")


def test_the_remote_sensing_ids_are_those_of_the_published_numbers():
    ids = {row["name"]: row["arxiv"] for row in timeline()}
    with open(DATA / "published" / "text2image.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["system"] in ids:
                assert ids[row["system"]] in row["source"]


def test_every_paper_stands_in_the_lane_of_its_family_at_its_date():
    rows = timeline()
    (ax,) = plots.plot_timeline(rows).axes
    lanes = {text.get_text(): text for text in ax.texts if text.get_text() in FAMILIES}
    heights = {name: label.xy[1] for name, label in lanes.items() if hasattr(label, "xy")}
    assert set(heights) == FAMILIES
    assert max(heights, key=heights.get) == "remote sensing"  # the axis points down
    marks = [line for line in ax.lines if line.get_linestyle() == "None"]
    for family, height in heights.items():
        dates = [int(r["year"]) + int(r["month"]) / 12 for r in rows if r["family"] == family]
        (mark,) = [line for line in marks if line.get_ydata()[0] == height]
        assert np.allclose(sorted(mark.get_xdata()), dates, atol=0.25)
    names = [text.get_text() for text in ax.texts]
    assert all(row["name"] in names for row in rows)


def test_papers_of_one_month_lie_beside_each_other():
    rows = [{"name": f"paper {i}", "year": 2020, "month": 5, "family": "other"} for i in range(4)]
    figure = plots.plot_timeline([*rows, {**rows[0], "name": "old", "year": 2014}])
    assert_legible(figure)
    (marks,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert np.diff(marks.get_xdata()).min() > 0.05


def test_names_of_lanes_are_in_both_languages():
    for family in FAMILIES:
        assert set(catalog()[f"family.{family}"]) == {"en", "zh"}


# --- Noise ------------------------------------------------------------------------------------


def test_schedules_are_drawn_as_they_are_with_the_step_where_noise_wins():
    figure = plots.plot_schedules(THREE)
    for ax, name in zip(figure.axes, ("exact_beta", "exact_alpha_bar", "exact_snr"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        for label, schedule in THREE.items():
            assert np.array_equal(lines[label].get_ydata(), getattr(schedule, name))
            assert np.array_equal(lines[label].get_xdata(), np.arange(1000))
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear", "log"]
    crossings = [line.get_xdata()[0] for line in figure.axes[2].lines if line.get_marker() == "o"]
    assert crossings == [int((s.snr >= 1).sum()) for s in THREE.values()]
    styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[1].lines}
    assert len(styles) == 3


def test_a_schedule_without_crossing_has_no_mark():
    figure = plots.plot_schedules({"short": NoiseSchedule.linear(10)})
    assert not [line for line in figure.axes[2].lines if line.get_marker() == "o"]


def test_noised_images_are_those_of_the_closed_form_with_one_noise():
    x0, eps = randn(3, 8, 8).clamp(-1, 1), randn(3, 8, 8, seed=1)
    figure = plots.show_noising(x0, THREE, [0, 200, 999], eps=eps)
    shown = [pixels_of(ax.images[0]) for ax in figure.axes]
    wanted = [
        to_bytes(q_sample(x0[None], torch.tensor([t]), eps[None], schedule))[0].permute(1, 2, 0)
        for schedule in THREE.values()
        for t in (0, 200, 999)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(shown, wanted, strict=True))
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == list(THREE)


def test_grey_images_become_pictures_and_values_outside_the_range_are_clipped():
    (picture,) = plots.to_pictures(torch.tensor([[[[-3.0, -1.0], [0.0, 3.0]]]]))
    assert picture.dtype == np.uint8
    assert picture.shape == (2, 2, 3)
    assert picture[..., 0].tolist() == [[0, 0], [128, 255]]
    assert (picture == picture[..., :1]).all()


def test_one_noised_image_stands_beside_the_weights_of_image_and_noise():
    x0, eps = randn(1, 8, 8).clamp(-1, 1), randn(1, 8, 8, seed=1)
    figure = plots.show_noised(x0, 250, LINEAR, eps=eps)
    left, right = figure.axes
    signal = LINEAR.alpha_bar[250].sqrt().item()
    wanted = plots.to_pictures((signal * x0 + (1 - signal**2) ** 0.5 * eps)[None])[0]
    assert np.abs(pixels_of(left.images[0]).astype(int) - wanted).max() <= 1
    said = " ".join(words.get_text() for words in right.get_legend().get_texts())
    assert f"{signal:.3f}" in said
    assert f"{(1 - signal**2) ** 0.5:.3f}" in said
    curves = [line for line in right.lines if len(line.get_xdata()) == 1000]
    squares = sum(line.get_ydata() ** 2 for line in curves)
    assert np.allclose(squares, 1)


# --- Distributions ----------------------------------------------------------------------------


def test_histograms_have_area_one():
    rows = randn(5000, 1).numpy()
    ax = plots.compare_samples({"t": {"a": rows, "b": rows}}).axes[0]
    outlines = [patch.get_path().vertices for patch in ax.patches]
    areas = [np.abs(np.trapezoid(outline[:, 1], outline[:, 0])) for outline in outlines]
    assert len(areas) == 2
    assert np.allclose(areas, 1, atol=0.01)


def test_the_posterior_is_the_product_of_what_is_known_from_both_sides():
    schedule = NoiseSchedule.linear(10, 0.05, 0.4)
    ax = plots.plot_posterior(0.5, -0.9, 3, schedule).axes[0]
    from_image, from_next, posterior = (line.get_ydata() for line in ax.lines)
    x = ax.lines[0].get_xdata()
    product = from_image * from_next
    assert np.allclose(product / np.trapezoid(product, x), posterior, rtol=1e-3, atol=1e-4)
    assert "t = 2" in ax.get_xlabel()


# --- Two dimensions ---------------------------------------------------------------------------


def test_arrows_point_against_the_noise_and_grow_with_it_up_to_a_length():
    figure = plots.plot_vector_field(
        to_origin, torch.zeros(20, 2), LINEAR, [0, 999], generator=generator(), num_arrows=6
    )
    for ax, t in zip(figure.axes, (0, 999), strict=True):
        arrows = ax.collections[-1] if ax is figure.axes[1] else ax.collections[1]
        starts, push = np.array([arrows.X, arrows.Y]).T, np.array([arrows.U, arrows.V]).T
        length = np.linalg.norm(starts, axis=1) / (1 - LINEAR.alpha_bar[t].item()) ** 0.5
        assert np.allclose(np.linalg.norm(push, axis=1), np.minimum(length, 2), rtol=1e-5)
        sine = np.cross(np.pad(starts, ((0, 0), (0, 1))), np.pad(push, ((0, 0), (0, 1))))
        assert np.allclose(sine, 0, atol=1e-5)
        assert ((starts * push).sum(1) < 0).all()


def test_clouds_lie_over_the_data_in_the_colors_of_their_sources():
    data, made = randn(30, 2), 2 * randn(40, 2, seed=1)
    figure = plots.plot_clouds({"noise": made, "sample": data}, data=data)
    real, synthetic = figure.axes[0].collections
    assert np.allclose(real.get_offsets(), data)
    assert np.allclose(synthetic.get_offsets(), made)
    assert np.allclose(real.get_facecolor()[0, :3], to_rgb(plots.SOURCE_COLORS["real"]))
    assert np.allclose(synthetic.get_facecolor()[0, :3], to_rgb(plots.SOURCE_COLORS["synthetic"]))
    far = 1.05 * max(data.abs().max(), made.abs().max()).item()
    assert figure.axes[1].get_xlim() == pytest.approx((-far, far))


# --- The way back -----------------------------------------------------------------------------


def test_the_film_shows_what_the_network_saw_not_the_state_after_the_step():
    x_T, steps = sampled(2, 1, 4, 4, num_sample_steps=3)
    seen, predicted = plots.reverse_pictures(x_T, steps, index=1)
    states = [x_T, steps[0].x_t, steps[1].x_t]
    for picture, state in zip(seen, states, strict=True):
        assert np.array_equal(picture, plots.to_pictures(state[1:])[0])
    assert np.array_equal(predicted[-1], plots.to_pictures(steps[-1].x_t[1:])[0])
    figure = plots.show_reverse(x_T, steps, index=1)
    titles = [ax.get_title() for ax in figure.axes[:3]]
    assert titles == [f"t = {step.t}" for step in steps]
    assert np.array_equal(pixels_of(figure.axes[0].images[0]), seen[0])
    assert np.array_equal(pixels_of(figure.axes[5].images[0]), predicted[2])


def test_batches_are_rows_with_their_names():
    a, b = randn(3, 3, 4, 4), randn(3, 3, 4, 4, seed=1)
    figure = plots.show_batches({"a": a, "b": b}, column_labels=["x", "y", "z"])
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["a", "b"]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["x", "y", "z"]
    assert np.array_equal(pixels_of(figure.axes[4].images[0]), plots.to_pictures(b)[1])


def test_what_was_not_kept_has_the_color_of_synthetic_images():
    x0, mask = randn(2, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., :2, :] = True
    figure = plots.show_inpainting(x0, mask, {"RePaint": -x0})
    real, known, drawn = (pixels_of(figure.axes[i].images[0]) for i in (0, 2, 4))
    assert np.array_equal(known[:2], real[:2])
    assert np.allclose(known[2:] / 255, to_rgb(plots.SOURCE_COLORS["synthetic"]), atol=0.01)
    assert np.array_equal(drawn, plots.to_pictures(-x0)[0])


def frames_of(animation: plots.Animation) -> tuple[list[np.ndarray], list[float], np.ndarray]:
    """Read an animated PNG back: frames, how long each is shown (ms), and the still picture."""
    image = Image.open(io.BytesIO(animation.png))
    assert image.format == "PNG"
    found, waits = [], []
    for i in range(image.n_frames):
        image.seek(i)
        found.append(np.asarray(image.convert("RGB")))
        waits.append(image.info.get("duration"))
    return found[1:], waits[1:], found[0]


def flat_frames(*values: int) -> list[np.ndarray]:
    return [np.full((4, 6, 3), value, np.uint8) for value in values]


def test_an_animation_shows_its_frames_and_stands_still_at_the_last():
    animation = plots.animate(flat_frames(0, 90, 255), zoom=3)
    frames, waits, still = frames_of(animation)
    assert [frame.shape for frame in frames] == [(12, 18, 3)] * 3
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 90, 255]
    assert waits == [1333, 1333, 1500]
    assert (still == 255).all()
    assert animation.num_frames == 3
    assert animation._repr_png_() == animation.png
    assert len(repr(animation)) < 100  # notebooks store the words as well


def test_one_frame_is_an_animation_too():
    frames, _, still = frames_of(plots.animate(flat_frames(90)))
    assert len(frames) <= 1
    assert (still == 90).all()


def test_an_animation_of_noise_fits_into_a_notebook_and_keeps_both_ends():
    x_T, steps = sampled(8, 3, 32, 32, num_sample_steps=40)
    animation = plots.animate_reverse(x_T, steps)
    assert len(animation.png) <= 110_000  # 150 kB as base64
    assert 5 <= animation.num_frames < 30
    frames, _, still = frames_of(animation)
    assert np.array_equal(frames[-1], still)
    assert frames[0].std() > 60
    assert np.abs(still[10:90, 10:90].astype(int) - 128).max() <= 2  # a tile: it has become grey


def test_digits_fit_with_all_their_frames():
    x_T, steps = sampled(8, 1, 8, 8, num_sample_steps=50)
    animation = plots.animate_reverse(x_T, steps, num_frames=30)
    assert animation.num_frames == 30
    assert len(animation.png) < 60_000


def test_a_palette_changes_colors_but_little():
    ramp = np.stack([np.arange(0, 240, 10, dtype=np.uint8)] * 3, -1)[None].repeat(6, 0)
    frames, _, _ = frames_of(plots.animate([ramp, ramp[::-1].copy(), 255 - ramp]))
    assert np.abs(frames[0].astype(int) - ramp).max() <= 6


# --- Numbers ----------------------------------------------------------------------------------


def test_the_loss_has_its_running_mean_and_a_line_for_the_network_that_says_nothing():
    steps = train_steps(200)
    ax = plots.plot_loss({"digits": steps}).axes[0]
    mean, zero = ax.lines
    x, y = mean.get_data()
    assert (x[0], x[-1], len(x)) == (3, 199, 197)
    assert y[0] == pytest.approx(np.mean([step.loss for step in steps[:4]]))
    assert set(zero.get_ydata()) == {1.0}
    assert len(ax.collections[0].get_offsets()) == 200
    assert len(plots.plot_loss({"a": steps}, baseline=None).axes[0].lines) == 1


def test_the_loss_by_t_is_a_line_a_denoiser_in_the_order_of_the_steps():
    ax = plots.plot_loss_by_t({"best": {9: 0.1, 0: 0.9}, "learned": {5: 0.4}}).axes[0]
    best, learned, zero = ax.lines
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([0, 9], [0.9, 0.1])
    assert (list(learned.get_xdata()), list(learned.get_ydata())) == ([5], [0.4])
    assert set(zero.get_ydata()) == {1.0}
    assert ax.get_yscale() == "log"
    assert len(plots.plot_loss_by_t({"a": {0: 1.0}}, baseline=None).axes[0].lines) == 1


def test_quality_is_drawn_with_intervals_on_a_logarithmic_axis():
    rows = [*quality("DDIM"), *quality("DDPM")[::-1]]
    ax = plots.plot_by_steps(rows, measure="recognized (%)").axes[0]
    assert ax.get_xscale() == "log"
    for bars in ax.containers:
        line, _, (spans,) = bars
        assert np.all(np.diff(line.get_xdata()) > 0)
        assert np.allclose(line.get_xdata(), [1, 2, 5, 10, 20, 50, 100, 1000], rtol=0.04)
        assert np.allclose(line.get_ydata(), 9 * np.arange(8))
        ends = np.array([segment[:, 1] for segment in spans.get_segments()])
        assert np.allclose(ends, [[8 * i, 10 * i] for i in range(8)])
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["1", "2", "5", "10", "20", "50", "100", "1,000"]


def test_the_order_of_a_solver_is_measured_and_drawn_beside_its_line():
    ax = plots.plot_solver_order(
        {"one": order_errors(1), "two": order_errors(2)}, orders={"one": 1, "two": 2}
    ).axes[0]
    words = " ".join(words.get_text() for words in ax.figure.legends[0].get_texts())
    assert "slope -1.00" in words
    assert "slope -2.00" in words
    for measured, guide in zip(ax.lines[::2], ax.lines[1::2], strict=True):
        assert np.allclose(measured.get_ydata(), guide.get_ydata())
    assert [words.get_text() for words in words_of(ax.figure) if "order" in words.get_text()]


def test_a_guide_of_another_order_departs_from_what_was_measured():
    ax = plots.plot_solver_order({"one": order_errors(1)}, orders={"one": 2}).axes[0]
    measured, guide = (line.get_ydata() for line in ax.lines)
    assert guide[-1] == measured[-1]
    assert guide[0] / measured[0] == pytest.approx(20)


PAPER = {"name": "a", "year": 2020, "month": 1, "family": "GAN"}
X, STEPS = sampled(1, 1, 4, 4, num_sample_steps=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_timeline([]), "no rows"),
        (lambda: plots.plot_timeline([{"name": "a"}]), "lacks year, month, family"),
        (lambda: plots.plot_timeline([{**PAPER, "month": 13}]), "1 to 12"),
        (lambda: plots.plot_schedules({}), "1 to 6 schedules"),
        (lambda: plots.show_noising(X[0], {}, [1], eps=X[0]), "nothing to show"),
        (lambda: plots.show_noising(X[0], THREE, [], eps=X[0]), "nothing to show"),
        (lambda: plots.show_noising(X[0], THREE, [1000], eps=X[0]), "0 to 999"),
        (lambda: plots.show_noised(X[0], -1, LINEAR, eps=X[0]), "0 to 999"),
        (lambda: plots.to_pictures(X * torch.nan), "finite"),
        (lambda: plots.compare_samples({}), "needs samples"),
        (lambda: plots.compare_samples({"a": {}}), "needs samples"),
        (lambda: plots.plot_posterior(0.1, 0.2, 0, LINEAR), "from 1 to 999"),
        (lambda: plots.plot_clouds({}), "no clouds"),
        (
            lambda: plots.plot_vector_field(
                to_origin, randn(3, 2), LINEAR, [], generator=generator()
            ),
            "no steps",
        ),
        (lambda: plots.show_reverse(X, []), "0 timesteps"),
        (lambda: plots.show_batches({}), "no batches"),
        (lambda: plots.show_batches({"a": randn(2, 1, 4, 4), "b": X}), "2 images a row"),
        (
            lambda: plots.show_inpainting(X, X > 0, {"a": randn(2, 1, 4, 4)}),
            "results of shape|show_inpainting",
        ),
        (lambda: plots.animate(flat_frames(1, 2), max_bytes=50), "fewer images"),
        (lambda: plots.animate_reverse(X, []), "steps and two frames"),
        (lambda: plots.animate_reverse(X, STEPS, num_frames=1), "steps and two frames"),
        (lambda: plots.plot_loss({}), "needs steps"),
        (lambda: plots.plot_loss({"a": [TrainStep(0, float("nan"), 0.1, 0.1)]}), "finite"),
        (lambda: plots.plot_loss_by_t({}), "needs a step"),
        (lambda: plots.plot_loss_by_t({"a": {}}), "needs a step"),
        (lambda: plots.plot_loss_by_t({"a": {0: 0.0}}), "above 0"),
        (lambda: plots.plot_loss_by_t({"a": {0: float("nan")}}), "finite"),
        (lambda: plots.plot_by_steps([], measure="a"), "no rows"),
        (lambda: plots.plot_by_steps([{"sampler": "a"}], measure="a"), "lacks num_sample_steps"),
        (lambda: plots.plot_by_steps(quality("a", low=99), measure="a"), "low <= value"),
        (lambda: plots.plot_solver_order({}, orders={}), "no solvers"),
        (lambda: plots.plot_solver_order({"a": order_errors(1)[:1]}, orders={}), "two step counts"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(Exception, match=message):
        call()
