"""Longer training of notebook 01's network: what is written, and that a killed run goes on."""

import pandas as pd
import pytest
import torch
from PIL import Image

import mini_earth
from course_utils.unet import load_unet
from tools import train_ddpm_tiles as tool

STAGES = ["--stages", "2", "3"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool in a tiny size, into folders of its own."""
    monkeypatch.setattr(tool.options, "REPO", tmp_path)
    monkeypatch.setattr(tool, "NUM_STEPS", 2)

    def run(*more):
        sizes = ["--renders", "4", "--per-class", "3", "--threads", "1", *STAGES]
        folders = ["--work", str(tmp_path / "work"), "--models", str(tmp_path / "models")]
        with torch.random.fork_rng(devices=[]):
            tool.main([*folders, *sizes, *more])
        return tmp_path / "models" / "ddpm_tiles"

    return run


def test_the_folder_holds_the_last_stage_a_sheet_of_all_and_a_card(run, tmp_path):
    folder = run()
    net = load_unet(folder)
    assert net.config == tool.unet.UNetConfig(patch=2, num_classes=4)
    with Image.open(folder / "stages.png") as sheet:
        assert sheet.size == (8 * (tool.SIDE + 2), 2 * (tool.SIDE + 2))
    table = pd.read_csv(tmp_path / "data" / "measured" / "ddpm_tiles.csv")
    assert table.stage.tolist() == ["1", "2", "real"]
    assert table.steps.tolist()[:2] == [2, 3]
    assert str(tmp_path) not in table.command[0]
    card = (folder / "README.md").read_text()
    assert "| 2 | 3 |" in card
    assert all(name in card for name in (*tool.CLASSES, *mini_earth.TRAIN_STYLES))


def test_stages_that_are_done_are_read_back(run, monkeypatch):
    first = (run() / "model.safetensors").read_bytes()
    monkeypatch.setattr(tool.diffusion, "train_denoiser", None)  # nothing is trained any more
    assert (run() / "model.safetensors").read_bytes() == first


def test_the_test_style_is_refused(run):
    with pytest.raises((SystemExit, ValueError), match="arid_smallsat"):
        run("--styles", mini_earth.TEST_STYLE)
