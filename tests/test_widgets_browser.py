"""Widgets in a real browser: for each notebook the widgets that it shows answer to a move.

Every call is taken from the notebook's own cell; only what it is given is small.
"""

import ast
import textwrap

import nbformat
import pytest
from browser import CHROMIUM, open_in_lab, wait_for
from test_notebooks import PATHS

GIVEN = """\
import numpy as np
import torch

from course_utils import augment, diffusion, examples, samplers, widgets
from course_utils.runtime import seeded

pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
"""
# What each widget is given, by the names that the notebooks use.
OF = {
    "noise_slider": """\
        schedule = diffusion.NoiseSchedule.linear(1000)
        x0 = torch.rand(1, 3, 32, 32) * 2 - 1
        one_noise = torch.randn(3, 32, 32)""",
    "schedule_panel": "",
    "trajectory_slider": """\
        start, cosine = torch.randn(1, 3, 16, 16), diffusion.NoiseSchedule.cosine(100)
        walk = samplers.ddim_sample(lambda x, t: 0.9 * x, start, cosine, num_sample_steps=5)
        way = list(walk)""",
    "steps_panel": "denoiser = lambda x, t: 0.9 * x",
    "caption_browser": """\
        sample = captioned = [
            examples.CaptionedImage(name, (name,), "test", class_name=name, pixels=pixels)
            for name, pixels in zip("abcd", pictures)
        ]""",
    "augmentation_gallery": """\
        CLASSES = ("a", "b", "c", "d")
        images = torch.from_numpy(pictures).movedim(3, 1) / 255
        batch = augment.Batch(images, targets=torch.eye(4))""",
    "slide_images": 'labels, ENDS = [f"{i}" for i in range(4)], ("a", "b")',
    "choose_pair": """\
        from functools import partial
        def view(pair):
            return *pair, []
        shown = {"one": pictures[:2], "two": pictures[2:]}""",
}
TRIED = {  # of each notebook
    "01": ("noise_slider", "schedule_panel", "trajectory_slider", "steps_panel"),
    "02": ("caption_browser",),
    "03": ("augmentation_gallery",),
    "04": ("slide_images",),
    "06": ("choose_pair",),
}
CASES = [(number, name) for number, names in TRIED.items() for name in names]
# Run all cells; digest the picture that a cell shows; take hold of its slider, or turn its list on.
KEYS = {"ArrowLeft": 37, "ArrowRight": 39}
START = """(() => {
    const lab = window.jupyterapp, panels = lab ? [...lab.shell.widgets('main')] : [];
    const panel = panels.find(each => each.context?.sessionContext?.session?.kernel);
    if (!panel) return false;
    lab.shell.activateById(panel.id);
    lab.commands.execute('notebook:run-all-cells');
    return true;
})()"""
PICTURE = """(async () => {
    const image = OUTPUT?.querySelector('.widget-image, .jupyter-widget-image, img');
    if (!image || !image.src || !image.complete) return '';
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return image.naturalWidth + ' ' + [...digest].join(' ');
})()"""
MOVE = """(() => {
    const output = OUTPUT, handle = output.querySelector('.noUi-handle');
    if (handle) {
        handle.focus();
        const [at, most] = ['now', 'max'].map(end => handle.getAttribute('aria-value' + end));
        return Number(at) < Number(most) ? 'ArrowRight' : 'ArrowLeft';
    }
    const list = output.querySelector('select');
    list.selectedIndex = (list.selectedIndex + 1) % list.options.length;
    list.dispatchEvent(new Event('change', {bubbles: true}));
    return '';
})()"""


def shown_by(number: str, name: str) -> str:
    """Give the call of a widget as the notebook of that number has it."""
    path = next(path for path in PATHS if path.name.startswith(number))
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    trees = [ast.parse(source) for source in cells if f"widgets.{name}(" in source]
    ends = [tree.body[-1] for tree in trees if isinstance(tree.body[-1], ast.Expr)]
    return next(call for call in map(ast.unparse, ends) if f"widgets.{name}(" in call)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Run a notebook with all these widgets in a browser."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome, and none is on the path")
    folder = tmp_path_factory.mktemp("browser")
    nb = nbformat.v4.new_notebook()
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    shown = [f"{textwrap.dedent(OF[name])}\n{shown_by(number, name)}" for number, name in CASES]
    nb.cells = [nbformat.v4.new_code_cell(cell) for cell in [GIVEN, *shown]]
    (folder / "seen").mkdir()
    nbformat.write(nb, folder / "seen" / "widgets.ipynb")
    with open_in_lab(folder / "seen" / "widgets.ipynb", folder) as page:
        wait_for(lambda: page.run(START), "kernel")
        yield page


def in_cell(code: str, index: int) -> str:
    """Say which output is meant, by its cell."""
    return code.replace("OUTPUT", f"document.querySelectorAll('.jp-CodeCell')[{index + 1}]")


@pytest.mark.parametrize("case", CASES, ids=["-".join(case) for case in CASES])
def test_a_move_of_the_widget_changes_its_picture(page, case):
    index = CASES.index(case)
    before = wait_for(lambda: page.run(in_cell(PICTURE, index)), f"picture of {case}")
    if key := page.run(in_cell(MOVE, index)):
        page.press(key, KEYS[key])

    def moved() -> bool:
        return page.run(in_cell(PICTURE, index)) not in ("", before)

    wait_for(moved, f"other picture of {case}")


def test_every_notebook_with_a_widget_is_tried():
    shown = {path.name[:2] for path in PATHS if "widgets." in path.read_text(encoding="utf-8")}
    assert shown <= set(TRIED)
