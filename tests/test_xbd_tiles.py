"""The five real tiles of xBD that ship: whole, small, as the originals are, under their licence."""

import hashlib

import numpy as np
import pytest

from course_utils import examples, hub, xbd
from course_utils.images import load_image
from course_utils.runtime import data_root

TILES = data_root() / "xbd_tiles"
NAMES = [f"guatemala-volcano_{k:08d}" for k in (8, 15, 16)]
NAMES += [f"santa-rosa-wildfire_{k:08d}" for k in (52, 273)]


@pytest.fixture(scope="module")
def scenes() -> list[xbd.XbdScene]:
    return xbd.find_scenes(TILES)


def test_the_tiles_are_as_the_lock_says_and_at_most_4_mb():
    located = hub.locate("xbd_tiles")
    assert (located.root, located.origin) == (TILES, "shipped")
    assert located.artifact.num_bytes <= 4_000_000
    assert len(located.artifact.files) == 22


def test_five_pairs_are_read_with_labels_at_the_size_that_these_say(scenes):
    assert [scene.name for scene in scenes] == NAMES
    assert [scene.split for scene in scenes] == ["train"] * 3 + ["test"] * 2
    for scene in scenes:
        pair = xbd.read_pair(scene)
        assert pair.pre.shape == pair.post.shape == (1024, 1024, 3)
        assert scene.post_image.suffix == ".webp"
        assert len(pair.pre_label.buildings) == len(pair.post_label.buildings)
    damage = [
        building.damage for scene in scenes for building in xbd.read_buildings(scene.post_label)
    ]
    assert (len(damage), damage.count(xbd.DamageLevel.DESTROYED)) == (183, 36)


def test_pixels_differ_little_from_the_originals_and_labels_not_at_all(scenes, test_data):
    for scene, original in zip(scenes, xbd.find_scenes(test_data / "xbd"), strict=True):
        assert (scene.name, scene.split) == (original.name, original.split)
        for when in ("pre", "post"):
            images = [getattr(each, f"{when}_image") for each in (scene, original)]
            ours, theirs = (np.asarray(load_image(path), np.int64) for path in images)
            away = np.abs(ours - theirs)
            assert away.mean() < 2.7
            assert away.max() < 40
            assert abs((ours - theirs).mean()) < 0.5, "as bright as the original"
            labels = [getattr(each, f"{when}_label").read_bytes() for each in (scene, original)]
            assert hashlib.sha256(labels[0]).digest() == hashlib.sha256(labels[1]).digest()


def test_licence_and_credit_stand_in_the_folder_and_beside_the_images(tmp_path):
    words = (TILES / "LICENSE.md").read_text(encoding="utf-8")
    for part in ("by-nc-sa/4.0", "arXiv:1911.09296", "Maxar/DigitalGlobe", "WebP"):
        assert part in words
    found = examples.load_xbd(root=TILES, cache=tmp_path)
    assert (found.is_real, len(found.scenes)) == (True, 5)
    assert "CC BY-NC-SA 4.0" in found.notes[0]
