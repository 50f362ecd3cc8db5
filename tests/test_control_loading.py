"""Which ControlNets, embeddings and pipelines are loaded, and what is refused by its name."""

import json
from pathlib import Path

import control_models as tiny
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import write_tiny_text2image

from course_utils import control, hub, text2image

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "base"
    write_tiny_text2image(root)
    return root


@pytest.fixture
def net(base: Path, tmp_path: Path) -> Path:
    tiny.write_net(tmp_path / "net", text2image.load_pipeline(str(base), device="cpu"))
    return tmp_path / "net"


def load(root: Path, base: Path | None = None) -> control.Controlled:
    return control.load_control(str(root), base=base and str(base), device="cpu")


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_controlnet_loads_with_its_own_weights(net, base):
    found = load(net, base)
    assert (found.artifact, found.origin, found.stand_in_for) == ("net", "local", None)
    assert found.embedding is None
    assert found.net.config.conditioning_channels == 18
    stored = load_file(net / WEIGHTS)
    assert all(torch.equal(value, stored[key]) for key, value in found.net.state_dict().items())


def test_an_embedding_of_metadata_loads_with_its_own_weights(tmp_path, base):
    tiny.write_embedding(tmp_path / "metadata")
    found = load(tmp_path / "metadata", base)
    assert found.net is None
    rows = control.scale_metadata([control.Metadata(longitude=10.0, year=2020.0)])
    torch.testing.assert_close(found.embedding(rows), tiny.make_embedding()(rows))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"in_channels": 9}, "in_channels 9"),
        ({"cross_attention_dim": 768}, "cross_attention_dim 768"),
        ({"block_out_channels": [8, 16]}, r"block_out_channels \[8, 16\]"),
    ],
)
def test_a_controlnet_of_another_generator_is_refused_with_what_differs(net, base, fields, named):
    change(net / "config.json", **fields)
    with pytest.raises(ValueError, match=f"another generator than base: {named}.*base="):
        load(net, base)


def test_an_embedding_of_another_width_is_refused(tmp_path, base):
    tiny.write_embedding(tmp_path / "metadata", width=24)
    with pytest.raises(ValueError, match=r"makes 24 numbers.* has 32.*base="):
        load(tmp_path / "metadata", base)


def test_weights_that_are_no_numbers_missing_or_pickled_are_refused(net, base):
    state = load_file(net / WEIGHTS)
    last = sorted(state)[-1]
    save_file(state | {last: torch.full_like(state[last], torch.nan)}, net / WEIGHTS)
    with pytest.raises(ValueError, match=f"no numbers.*{last}"):
        load(net, base)
    save_file({key: value for key, value in state.items() if key != last}, net / WEIGHTS)
    with pytest.raises(ValueError, match=f"has {len(state) - 1} weights, expected {len(state)}"):
        load(net, base)
    (net / WEIGHTS).rename(net / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="as a pickle"):
        load(net, base)


def test_settings_that_lead_elsewhere_and_other_kinds_are_refused(net, base):
    change(net / "config.json", auto_map={"AutoModel": "evil.Net"})
    with pytest.raises(ValueError, match="auto_map"):
        load(net, base)
    (net / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    with pytest.raises(ValueError, match=r"expected a ControlNetModel.*UNet2D.*load_pipeline"):
        load(net, base)


def test_a_metadata_embedding_with_something_left_over_is_refused(tmp_path, base):
    tiny.write_embedding(tmp_path / "metadata")
    path = tmp_path / "metadata" / "model.safetensors"
    save_file(load_file(path) | {"metadata_embedding.7.linear_1.bias": torch.zeros(32)}, path)
    with pytest.raises(ValueError, match=r"another layout.*metadata_embedding\.7"):
        load(tmp_path / "metadata", base)


def test_diffusionsat_is_split_into_a_stock_denoiser_and_its_metadata(tmp_path, capsys):
    tiny.write_diffusionsat(tmp_path / "sat")
    found = load(tmp_path / "sat")
    with capsys.disabled():
        print("\nrandom weights stand in for DiffusionSat's: only the way of loading is shown")
    state = load_file(tmp_path / "sat" / "unet" / WEIGHTS)
    for key, value in found.model.pipeline.unet.state_dict().items():
        assert torch.equal(value, state.pop(key))
    for key, value in found.embedding.state_dict().items():
        assert torch.equal(value, state.pop(key))
    assert not state
    assert found.model.artifact == found.artifact == "sat"
    assert not list((tmp_path / "cache").glob("*"))  # nothing is left behind


def test_a_diffusionsat_with_a_tensor_that_nothing_reads_is_refused(tmp_path):
    tiny.write_diffusionsat(tmp_path / "sat")
    path = tmp_path / "sat" / "unet" / WEIGHTS
    save_file(load_file(path) | {"temporal.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"1 weights that nothing reads, first temporal\.weight"):
        load(tmp_path / "sat")


def test_a_plain_pipeline_reads_no_metadata(base):
    with pytest.raises(ValueError, match="reads no metadata"):
        load(base)


def test_crs_diff_names_its_port_and_what_to_do_instead(tmp_path):
    with pytest.raises(ValueError, match=r"CRS-Diff-diffusers.*code of its own.*small_control"):
        control.load_control("crs_diff")
    (tmp_path / "port").mkdir()
    index = {"_class_name": ["pipeline", "CRSDiffPipeline"], "crs_model": ["pipeline", "X"]}
    (tmp_path / "port" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="CRS-Diff-diffusers"):
        load(tmp_path / "port")


def test_load_pipeline_says_who_loads_a_controlnet_and_diffusionsat(net, tmp_path):
    tiny.write_diffusionsat(tmp_path / "sat")
    for root in (net, tmp_path / "sat"):
        with pytest.raises(ValueError, match=r"control\.load_control loads it"):
            text2image.load_pipeline(str(root))


def test_real_ids_are_in_the_lock_with_the_generator_that_they_steer():
    lock = hub.read_lock()
    for name in ("earthsynth", "geosynth_osm"):
        assert lock[name].role == "control"
        assert lock[lock[name].settings["base"]].role == "text2image"
    for name in ("diffusionsat", "diffusionsat_512", "diffusionsat_256"):
        config = text2image.GenerationConfig(**lock[name].settings)
        assert config.width == (256 if name.endswith("256") else 512)


def test_a_segmenter_finds_a_code_for_each_pixel_whatever_the_batch(tmp_path):
    tiny.write_segmenter(tmp_path / "judge")
    judge = control.load_segmenter(str(tmp_path / "judge"), device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    found = control.segment(judge, images)
    assert (found.shape, found.dtype) == ((3, 16, 24), torch.uint8)
    assert found.max() < 8
    assert torch.equal(control.segment(judge, images[1:2])[0], found[1])
    assert control.segment(judge, images[:0]).shape == (0, 16, 24)


def test_a_segmenter_of_other_classes_and_images_of_other_kinds_are_refused(tmp_path):
    tiny.write_segmenter(tmp_path / "other", num_classes=5)
    with pytest.raises(ValueError, match="'out_channels': 20"):
        control.load_segmenter(str(tmp_path / "other"))
    tiny.write_segmenter(tmp_path / "judge")
    judge = control.load_segmenter(str(tmp_path / "judge"), device="cpu")
    for wrong in (np.zeros((1, 16, 16, 3)), np.zeros((1, 3, 16, 16), np.uint8)):
        with pytest.raises(ValueError, match="images: expected bytes"):
            control.segment(judge, wrong)
