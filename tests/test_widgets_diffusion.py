"""Sliders of notebook 01: what is set is what a static twin shows, and what fails is said."""

import sys

import ipywidgets
import pytest
import torch

from course_utils import plots, samplers, widgets
from course_utils.diffusion import NoiseSchedule
from course_utils.samplers import SampleStep

SCHEDULE = NoiseSchedule.linear(100, 1e-3, 0.2)
DPI = 100


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


IMAGE, EPS, X_T = randn(1, 8, 8).clamp(-1, 1), randn(1, 8, 8, seed=1), randn(2, 1, 8, 8, seed=2)


def to_origin(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Denoise data that is nearly 0: nearly everything is noise."""
    return 0.9 * x_t / (1 - SCHEDULE.alpha_bar[t]).sqrt()[:, None, None, None]


def sampled(**options: object) -> list[SampleStep]:
    return list(samplers.ddim_sample(to_origin, X_T, SCHEDULE, num_sample_steps=5, **options))


def parts(view: ipywidgets.VBox) -> tuple[list, ipywidgets.HTML, ipywidgets.Image]:
    """Give the controls of a view, its message and its picture."""
    row, message, picture = view.children
    return list(row.children), message, picture


def twin(figure: object) -> bytes:
    return plots.figure_bytes(figure, dpi=DPI)


def test_the_noise_follows_its_slider_from_the_first_step_to_the_last():
    (slider,), _, picture = parts(widgets.noise_slider(IMAGE, SCHEDULE, eps=EPS))
    steps = [t for _, t in slider.options]
    assert (steps[0], steps[-1]) == (0, 99)
    assert len(steps) == 51
    for t in (slider.value, 0, 99):
        slider.value = t
        wanted = plots.show_noised(IMAGE, t, SCHEDULE, eps=EPS)
        assert picture.value == twin(wanted)


def test_a_schedule_of_two_steps_has_a_slider_of_two_stops():
    short = NoiseSchedule.linear(2, 0.1, 0.5)
    (slider,), _, _ = parts(widgets.noise_slider(IMAGE, short, eps=EPS))
    assert [t for _, t in slider.options] == [0, 1]


def test_the_way_back_is_slid_along_for_every_image():
    steps = sampled()
    (step, image), _, picture = parts(widgets.trajectory_slider(X_T, steps))
    assert next(label for label, _ in step.options) == f"1: t = {steps[0].t}"
    for i, index in ((0, 0), (4, 0), (4, 1), (2, 1)):
        step.value, image.value = i, index
        seen, predicted = plots.reverse_pictures(X_T, steps, index=index)
        wanted = plots.plot_trajectory([seen[i]], [predicted[i]], [steps[i].t])
        assert picture.value == twin(wanted)


def test_schedules_are_chosen_by_name_and_length():
    (names, length), _, picture = parts(widgets.schedule_panel(lengths=(10, 50)))
    three = {
        "linear": NoiseSchedule.linear(50),
        "scaled linear": NoiseSchedule.scaled_linear(50),
        "cosine": NoiseSchedule.cosine(50),
    }
    assert picture.value == twin(plots.plot_schedules(three))
    names.value = ("cosine",)
    assert picture.value == twin(plots.plot_schedules({"cosine": three["cosine"]}))
    length.value = 10
    assert picture.value == twin(plots.plot_schedules({"cosine": NoiseSchedule.cosine(10)}))


def test_a_schedule_that_cannot_be_made_is_said_and_the_next_one_is_drawn():
    panel = widgets.schedule_panel({"<ends>": lambda T: NoiseSchedule.linear(T, 0.1, 0.1 * T)},
                                   lengths=(20, 5, 2))  # fmt: skip
    (_, length), message, picture = parts(panel)
    assert message.value == ""
    length.value = 20
    assert "between 0 and 1" in message.value
    assert picture.layout.display == "none"
    length.value = 5
    assert message.value == ""
    assert picture.layout.display is None


def test_the_steps_panel_samples_what_is_chosen():
    (method, number, eta), _, picture = parts(widgets.steps_panel(to_origin, X_T, SCHEDULE, seed=3))

    def wanted(sampler: object, **options: object) -> bytes:
        *_, last = sampler(to_origin, X_T, SCHEDULE, **options)
        return twin(plots.show_images(plots.to_pictures(last.x_t), num_columns=8))

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    assert picture.value == wanted(samplers.ddim_sample, num_sample_steps=10)
    number.value = 2
    assert picture.value == wanted(samplers.ddim_sample, num_sample_steps=2)
    eta.value = 1.0
    options = {"num_sample_steps": 2, "eta": 1.0, "generator": generator()}
    assert picture.value == wanted(samplers.ddim_sample, **options)
    method.value = "DPM-Solver++(2M)"
    assert picture.value == wanted(samplers.dpm_solver_sample, num_sample_steps=2)
    assert max(count for _, count in number.options) == 100
    assert number.continuous_update is False


def test_the_steps_panel_keeps_images_in_range_where_it_is_told():
    cosine = NoiseSchedule.cosine(100)
    _, _, picture = parts(widgets.steps_panel(to_origin, X_T, cosine, clip_x0=True))
    way = samplers.ddim_sample(to_origin, X_T, cosine, num_sample_steps=10, clip_x0=True)
    *_, last = way
    assert picture.value == twin(plots.show_images(plots.to_pictures(last.x_t), num_columns=8))
    _, _, other = parts(widgets.steps_panel(to_origin, X_T, cosine))
    assert other.value != picture.value


def test_a_short_schedule_offers_no_more_steps_than_it_has():
    short = NoiseSchedule.linear(4, 0.1, 0.5)
    panel = widgets.steps_panel(lambda x_t, t: x_t, X_T, short)
    (_, number, _), _, _ = parts(panel)
    assert [count for _, count in number.options] == [1, 2, 3]


def test_what_was_drawn_before_is_not_drawn_again():
    asked = []

    def denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(int(t[0]))
        return to_origin(x_t, t)

    (_, number, _), _, picture = parts(widgets.steps_panel(denoiser, X_T, SCHEDULE))
    first, calls = picture.value, len(asked)
    number.value = 1
    assert len(asked) == calls + 1
    number.value = 10
    assert len(asked) == calls + 1
    assert picture.value == first


def test_a_network_that_fails_later_is_said_as_plain_text():
    def denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if len(seen) > 10:
            raise RuntimeError("no <memory>")
        seen.append(t)
        return to_origin(x_t, t)

    seen: list = []
    (_, number, _), message, picture = parts(widgets.steps_panel(denoiser, X_T, SCHEDULE))
    number.value = 50
    assert "no &lt;memory&gt;" in message.value
    assert picture.layout.display == "none"
    number.value = 10
    assert message.value == ""
    assert picture.layout.display is None


def test_a_network_that_fails_at_once_fails_in_the_cell():
    def denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        widgets.steps_panel(denoiser, X_T, SCHEDULE)


def test_without_ipywidgets_a_note_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    notes = [
        widgets.noise_slider(IMAGE, SCHEDULE, eps=EPS),
        widgets.trajectory_slider(X_T, sampled()),
        widgets.schedule_panel(),
        widgets.steps_panel(to_origin, X_T, SCHEDULE),
    ]
    for note in notes:
        assert "ipywidgets" in str(note)


def test_what_cannot_be_shown_is_refused_at_once():
    with pytest.raises(ValueError, match="0 steps"):
        widgets.trajectory_slider(X_T, [])
    with pytest.raises(ValueError, match="0 images"):
        widgets.trajectory_slider(X_T[:0], sampled())
    with pytest.raises(ValueError, match="0 schedules"):
        widgets.schedule_panel({})
    with pytest.raises(ValueError, match="0 lengths"):
        widgets.schedule_panel(lengths=())
    with pytest.raises(ValueError, match="NaN"):
        widgets.noise_slider(IMAGE, SCHEDULE, eps=EPS * torch.nan)
