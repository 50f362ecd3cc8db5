"""A network is read back from its folder as it was; a folder without such a network is refused."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from course_utils.hub import ArtifactError
from course_utils.unet import UNet, UNetConfig, load_unet

SMALL = UNetConfig(image_channels=2, channels=(8, 16), num_classes=3)


@pytest.fixture
def folder(tmp_path):
    """Write a small network, and beside its sizes a field of somebody else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(SMALL)
    state = {name: (value + 0.1).contiguous() for name, value in net.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    write_settings(tmp_path, side=32)
    return tmp_path


def write_settings(folder, *, without="", **changes):
    settings = {name: value for name, value in asdict(SMALL).items() if name != without}
    (folder / "config.json").write_text(json.dumps(settings | changes))


def test_a_network_is_read_back_with_its_sizes_and_every_weight(folder):
    net = load_unet(folder)
    assert net.config == SMALL
    assert not net.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = UNet(SMALL).state_dict()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, first[name] + 0.1)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=r"safetensors|config"):
        load_unet(folder)


def test_weights_that_are_cut_short_or_no_numbers_are_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(ArtifactError, match="damaged or cut short"):
        load_unet(folder)
    path.write_bytes(whole[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(ArtifactError, match="NaN"):
        load_unet(folder)


@pytest.mark.parametrize(
    "settings",
    [{"without": "patch"}, {"channels": [8, 24]}, {"channels": 8}, {"num_classes": 4}],
    ids=str,
)
def test_settings_of_another_network_are_refused(folder, settings):
    write_settings(folder, **settings)
    with pytest.raises(ValueError, match="does not describe its weights"):
        load_unet(folder)
