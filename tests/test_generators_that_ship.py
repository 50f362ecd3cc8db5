"""The text-to-image models in ``data/models``: what they have seen, and what their folders hold."""

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

import mini_earth
from course_utils.hub import read_lock
from course_utils.runtime import data_root
from course_utils.text2image import generate, load_pipeline
from tools import distill_text2image, training
from tools.small_text2image import latents, networks
from tools.small_text2image.pipeline import BLIND, SEEING

MODELS = data_root() / "models"
TEACHERS = (BLIND, SEEING)
IMAGES = {".jpg", ".png", ".tif"}
SHARED = ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")
ASIDE = [
    "eurosat_course/eurosat_course_validation.parquet",
    "eurosat_course/eurosat_course_test.parquet",
    "ucmerced_gallery/ucmerced_gallery.parquet",
]


def hashes(images: list[bytes]) -> list[int]:
    return [int(hashlib.sha256(image).hexdigest()[:16], 16) for image in images]


def images_in(path: Path) -> list[bytes]:
    return [cell["bytes"] for cell in pq.read_table(path, columns=["image"])["image"].to_pylist()]


@pytest.fixture(scope="module")
def seen() -> set[int]:
    return set(np.load(data_root() / "train_hashes.npy").tolist())


@pytest.mark.parametrize("name", ASIDE)
def test_no_image_that_is_validated_or_tested_on_was_trained_on(name, seen):
    found = hashes(images_in(data_root() / name))
    assert len(found) > 100
    assert not seen.intersection(found)


def test_what_the_retrieval_sample_holds_was_trained_on(seen):
    path = data_root() / "eurosat_retrieval" / "eurosat_course_retrieval.parquet"
    assert seen.issuperset(hashes(images_in(path)))


def test_no_file_of_the_real_test_images_was_trained_on(seen, test_data):
    folders = ("EuroSAT_RGB", "UCMerced_LandUse", "UCMerced_LandUse_jpg", "AID_150px", "xbd")
    files = [p for f in folders for p in (test_data / f).rglob("*") if p.suffix in IMAGES]
    assert len(files) > 1500
    assert not seen.intersection(hashes([path.read_bytes() for path in files]))


def test_the_list_is_of_the_training_files_and_complete(seen, test_data):
    files = (training.options.UC_MERCED, training.options.EUROSAT)
    found = [h for name in files for h in hashes(images_in(test_data / "train" / name))]
    assert set(found) == seen


def views(data: training.Captioned, work: Path) -> latents.Latents:
    vae = AutoencoderKL.from_pretrained(MODELS / SEEING / "vae")
    return latents.cache_latents(data, vae, copies=1, work=work)


def lengths(cache: latents.Latents, tokenizer: CLIPTokenizer) -> list[int]:
    """Count the tokens of some captions of every view, with a level where it is not said."""
    rng, captions = np.random.default_rng(0), []
    for i in range(len(cache.rows)):
        for said in (cache.caption(i, rng) for _ in range(8)):
            level = "" if "_GOOGLE_LEVEL_" in said else "14_GOOGLE_LEVEL_"
            captions.append(level + said)
    return [len(ids) for ids in tokenizer(captions, truncation=False).input_ids]


@pytest.fixture(scope="module")
def tokenizers() -> list[CLIPTokenizer]:
    return [CLIPTokenizer.from_pretrained(MODELS / name / "tokenizer") for name in TEACHERS]


def test_no_caption_of_a_render_is_cut(tokenizers, tmp_path):
    renders = training.render_views(
        250, styles=mini_earth.TRAIN_STYLES, seed=5, work=tmp_path, processes=0
    )
    cache = views(renders, tmp_path)
    for tokenizer in tokenizers:
        found = lengths(cache, tokenizer)
        assert 40 < max(found) <= networks.MAX_TOKENS


@pytest.mark.parametrize(("name", "size"), [(ASIDE[0], 64), (ASIDE[2], 96)])
def test_no_caption_of_a_photograph_is_cut(name, size, tokenizers, tmp_path):
    photographs = training.read_captioned(data_root() / name, size=size, allow_eurosat=True)
    cache = views(photographs.take(range(0, len(photographs), 2)), tmp_path)
    for tokenizer in tokenizers:
        found = lengths(cache, tokenizer)
        assert 20 < max(found) <= networks.MAX_TOKENS


def test_no_sentence_about_a_photograph_is_cut(tokenizers, test_data, tmp_path):
    file = test_data / "train" / training.options.UC_MERCED
    photographs = training.read_captioned(file, size=96)
    cache = views(photographs.take(range(0, len(photographs), 4)), tmp_path)
    for tokenizer in tokenizers:
        assert max(lengths(cache, tokenizer)) <= networks.MAX_TOKENS


@pytest.mark.parametrize("name", TEACHERS)
def test_a_few_step_model_shares_the_bytes_that_it_was_not_trained_in(name):
    lock = read_lock()
    teacher, student = lock[name].files, lock[name + "_few_steps"].files
    assert [teacher[file] for file in SHARED] == [student[file] for file in SHARED]
    for file in SHARED:
        assert teacher[file] == hashlib.sha256((MODELS / name / file).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [n + s for n in TEACHERS for s in ("", "_few_steps")])
def test_a_folder_is_at_most_21_mb(name):
    files = [path for path in (MODELS / name).rglob("*") if path.is_file()]
    assert 10 * 2**20 < sum(path.stat().st_size for path in files) <= 21 * 2**20


def test_a_few_step_model_warns_beyond_the_guidance_that_it_learned():
    student = load_pipeline("small_text2image_few_steps", device="cpu")
    assert student.guidance == tuple(distill_text2image.GUIDANCE)
    assert load_pipeline("small_text2image", device="cpu").guidance is None
    for scale in (1.0, 5.0, 5.5, 8.0):  # it warns once a model, the more so as warnings are errors
        config = replace(student.config, guidance_scale=scale, num_sample_steps=1)
        expected = (
            pytest.warns(UserWarning, match=r"1 to 5: at 5\.5") if scale == 5.5 else nullcontext()
        )
        with expected:
            list(generate(student, ["a river"], config))
