"""Caches: what is damaged is noticed, two runs share them, and a killed run leaves no trace."""

import os
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import encoded, noise_image
from small_lab import Labs, write_models


@pytest.mark.skipif(sys.platform == "win32", reason="no forkserver there")
def test_two_labs_on_one_cache_killed_at_random_moments_end_as_one_that_was_left_alone(
    tmp_path, monkeypatch
):
    check_killed_labs(tmp_path, monkeypatch, num_kills=3)


def check_killed_labs(folder: Path, monkeypatch: pytest.MonkeyPatch, *, num_kills: int) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here.parent), str(here)]))
    write_models(folder / "models")
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for i in range(40):
            archive.writestr(f"{'ab'[i % 2]}/{i}.png", encoded(noise_image(i), "PNG"))
    labs = Labs(folder / "models", folder / "set.zip")
    cache, rng = folder / "shared", np.random.default_rng(15)
    labs.finish(folder / "warm", 1)  # loads what is not loaded yet, so that time says something
    begun = time.monotonic()
    (alone,) = labs.finish(folder / "alone", 1)
    within = 1.5 * (time.monotonic() - begun)
    for _ in range(num_kills):
        labs.kill(cache, rng, within)
    for together in labs.finish(cache, 2):
        assert together == alone
    assert len(alone[1]) == 48
    assert not [path for path in cache.rglob(".*") if path.name != ".files.json"]
