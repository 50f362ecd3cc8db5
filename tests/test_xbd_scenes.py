"""Which files belong to which scene, whatever else lies around; and both images of a scene."""

import json
import time

import numpy as np
import pytest
from conftest import encoded, noise_image

from course_utils.xbd import (
    Metadata,
    XbdError,
    XbdMissingError,
    find_scenes,
    read_image,
    read_pair,
)

A, B = "guatemala-volcano_00000008", "santa-rosa-wildfire_00000052"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def whole(name):
    for time_name in ("pre", "post"):
        yield f"images/{name}_{time_name}_disaster.png"
        yield f"labels/{name}_{time_name}_disaster.json"
        yield f"targets/{name}_{time_name}_disaster_target.png"


def test_a_whole_scene_has_six_files(tmp_path):
    touch(tmp_path / "train", *whole(A))
    (scene,) = find_scenes(tmp_path)
    assert (scene.name, scene.event, scene.split) == (A, "guatemala-volcano", "train")
    folder = tmp_path / "train"
    assert scene.pre_image == folder / "images" / f"{A}_pre_disaster.png"
    assert scene.post_image == folder / "images" / f"{A}_post_disaster.png"
    assert scene.pre_label == folder / "labels" / f"{A}_pre_disaster.json"
    assert scene.post_label == folder / "labels" / f"{A}_post_disaster.json"
    assert scene.pre_target == folder / "targets" / f"{A}_pre_disaster_target.png"
    assert scene.post_target == folder / "targets" / f"{A}_post_disaster_target.png"


def test_scenes_are_sorted_by_name_then_split(tmp_path):
    touch(tmp_path / "train", *whole(B), *whole(A))
    touch(tmp_path / "hold", *whole(B))
    found = [(scene.name, scene.split) for scene in find_scenes(tmp_path)]
    assert found == [(A, "train"), (B, "hold"), (B, "train")]


@pytest.mark.parametrize("file", list(whole(A)))
def test_any_single_file_makes_a_scene_and_the_missing_rest_is_none(tmp_path, file):
    touch(tmp_path / "test", file)
    (scene,) = find_scenes(tmp_path)
    parts = ["pre_image", "post_image", "pre_label", "post_label", "pre_target", "post_target"]
    assert [getattr(scene, part) for part in parts if getattr(scene, part)] == [
        tmp_path / "test" / file
    ]


def test_files_with_other_names_are_passed_over(tmp_path):
    touch(tmp_path / "train", *whole(A))
    for folder, ending in (("images", "png"), ("labels", "json"), ("targets", "png")):
        name = f"{B}_post_disaster"
        touch(
            tmp_path / "train" / folder,
            f".{name}.{ending}",
            f"._{name}.{ending}",
            f"{name}.{ending}.part",
            f"{name}.{ending}~",
            f"{name} (1).{ending}",
            f"{B}1_post_disaster.{ending}",
            f"hurricane_123_post_disaster.{ending}",
            f"{B}_after_disaster.{ending}",
            f"_00000001_post_disaster.{ending}",
            f"{B}_post_disaster.tif",
            "Thumbs.db",
            "desktop.ini",
        )
        (tmp_path / "train" / folder / f"{B}_pre_disaster.{ending}").mkdir()
        (tmp_path / "train" / folder / f"{B}_post_disaster_target.{ending}").mkdir()
    touch(tmp_path / "train" / "labels", f"{B}_post_disaster.png", f"{B}_post_disaster_target.png")
    touch(tmp_path / "train" / "images", f"{B}_post_disaster.json")
    touch(tmp_path / "train" / "targets", f"{B}_post_disaster.png")
    touch(tmp_path / "train", f"{B}_post_disaster.png")
    touch(tmp_path / "__MACOSX" / "train", *whole(B))
    touch(tmp_path / "__MACOSX", *whole(B))
    touch(tmp_path / ".cache", *whole(B))
    touch(tmp_path / "notes", "readme.txt")
    assert [scene.name for scene in find_scenes(tmp_path)] == [A]


def test_the_root_may_be_one_split(tmp_path):
    touch(tmp_path / "tier3", *whole(A))
    (scene,) = find_scenes(tmp_path / "tier3")
    assert scene.split == "tier3"
    assert find_scenes(str(tmp_path / "tier3"), split="tier3") == [scene]
    assert find_scenes(tmp_path) == [scene]


def test_a_root_of_another_name_gives_scenes_without_split(tmp_path):
    touch(tmp_path / "mine", *whole(A))
    (scene,) = find_scenes(tmp_path / "mine")
    assert scene.split is None


def test_a_path_relative_to_the_caller_gives_absolute_files(tmp_path, monkeypatch):
    touch(tmp_path / "xbd" / "train", *whole(A))
    monkeypatch.chdir(tmp_path)
    assert find_scenes("xbd") == find_scenes(tmp_path / "xbd")


def test_one_split_is_listed_alone(tmp_path):
    touch(tmp_path / "train", *whole(A))
    touch(tmp_path / "own_split", *whole(B))
    assert [scene.name for scene in find_scenes(tmp_path, split="own_split")] == [B]
    assert len(find_scenes(tmp_path)) == 2


def test_an_unknown_split_is_refused_with_those_there(tmp_path):
    touch(tmp_path / "train", *whole(A))
    touch(tmp_path / "hold", *whole(B))
    with pytest.raises(ValueError, match="no split 'test', only hold, train"):
        find_scenes(tmp_path, split="test")


def test_a_missing_root_says_where_it_looked_what_to_set_and_what_to_expect(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*COURSE_XBD.*<split>.*_disaster"):
        find_scenes(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(XbdError, match="file is no folder"):
        find_scenes(tmp_path / "file")


def test_a_root_without_scenes_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no split; set COURSE_XBD"):
        find_scenes(tmp_path)
    touch(tmp_path / "train" / "images", "readme.txt")
    with pytest.raises(ValueError, match=r"train and found none; set COURSE_XBD"):
        find_scenes(tmp_path)


def test_two_thousand_files_are_listed_within_half_a_second(tmp_path):
    names = [f"event_{i:08d}_{when}_disaster" for i in range(500) for when in ("pre", "post")]
    touch(tmp_path / "train" / "images", *(f"{name}.png" for name in names))
    touch(tmp_path / "train" / "labels", *(f"{name}.json" for name in names))
    start = time.perf_counter()
    assert len(find_scenes(tmp_path)) == 500
    assert time.perf_counter() - start < 0.5


def write_scene(root, *, image=(8, 6), label=(8, 6), post_image=None):
    for when, size in (("pre", image), ("post", post_image or image)):
        name = f"{A}_{when}_disaster"
        metadata = dict(zip(("width", "height"), label, strict=True))
        content = {"features": {"lng_lat": [], "xy": []}, "metadata": metadata}
        touch(root / "train", f"images/{name}.png", f"labels/{name}.json")
        (root / "train" / "images" / f"{name}.png").write_bytes(
            encoded(noise_image(len(when), size=size), "PNG")
        )
        (root / "train" / "labels" / f"{name}.json").write_text(json.dumps(content))
    return find_scenes(root)[0]


def test_a_pair_has_both_images_and_what_the_labels_say(tmp_path):
    pair = read_pair(write_scene(tmp_path))
    assert np.array_equal(pair.pre, np.array(noise_image(3, size=(8, 6))))
    assert np.array_equal(pair.post, np.array(noise_image(4, size=(8, 6))))
    assert (pair.post.shape, pair.post.dtype) == ((6, 8, 3), np.uint8)
    assert (pair.post_label.metadata.width, pair.pre_label.buildings) == (8, ())


def test_a_pair_without_labels_is_read_and_says_none(tmp_path):
    scene = write_scene(tmp_path)
    scene.pre_label.unlink()
    scene.post_label.unlink()
    pair = read_pair(find_scenes(tmp_path)[0])
    assert (pair.pre_label, pair.post_label) == (None, None)


@pytest.mark.parametrize("part", ["pre_image", "post_image"])
def test_a_missing_image_of_a_pair_is_named(tmp_path, part):
    getattr(write_scene(tmp_path), part).unlink()
    with pytest.raises(XbdMissingError, match=f"{A} .*has no {part}"):
        read_pair(find_scenes(tmp_path)[0])


def test_a_file_that_went_away_after_the_search_is_named(tmp_path):
    scene = write_scene(tmp_path)
    scene.post_image.unlink()
    with pytest.raises(XbdMissingError, match=r"there is no image .*post_disaster.png"):
        read_pair(scene)


def test_an_image_of_another_size_than_its_label_says_is_refused(tmp_path):
    scene = write_scene(tmp_path, image=(8, 6), label=(1024, 1024))
    with pytest.raises(ValueError, match=r"expected 1024 x 1024 pixels .* got 8 x 6"):
        read_pair(scene)
    with pytest.raises(ValueError, match="expected 6 x 8 pixels"):  # width first, not height
        read_image(scene.pre_image, metadata=Metadata(width=6, height=8))
    assert read_image(scene.pre_image, metadata=Metadata(width=8)).shape == (6, 8, 3)
    assert read_image(scene.pre_image).shape == (6, 8, 3)


def test_images_of_a_pair_must_be_equally_large(tmp_path):
    scene = write_scene(tmp_path, post_image=(9, 6), label=(None, None))
    with pytest.raises(ValueError, match="8 x 6 before and 9 x 6 after"):
        read_pair(scene)


def test_broken_and_missing_images_are_named(tmp_path):
    path = tmp_path / "x.png"
    data = encoded(noise_image(1), "PNG")
    for broken in (data[: len(data) // 2], data[:20], b"", b"no picture"):
        path.write_bytes(broken)
        with pytest.raises(XbdError, match=r"x\.png is not a readable image"):
            read_image(path)
    with pytest.raises(XbdError, match="cannot be read"):
        read_image(tmp_path)
    with pytest.raises(XbdMissingError, match=r"there is no image"):
        read_image(tmp_path / "y.png")
    with pytest.raises(XbdMissingError, match="got None"):
        read_image(None)


def test_the_real_scenes_are_found_and_read(test_data):
    scenes = find_scenes(test_data / "xbd")
    assert [scene.split for scene in scenes] == ["train"] * 3 + ["test"] * 2
    assert [scene.name for scene in find_scenes(test_data / "xbd" / "test")] == [
        scene.name for scene in scenes[3:]
    ]
    assert {(scene.pre_target, scene.post_target) for scene in scenes} == {(None, None)}
    pairs = [read_pair(scene) for scene in scenes]
    assert {pair.post.shape for pair in pairs} == {(1024, 1024, 3)}
    black = [(pair.post == 0).all(axis=2).mean() for pair in pairs]
    assert [share > 0.2 for share in black] == [False, False, False, True, False]


def test_images_may_be_webp_and_a_png_of_the_same_name_counts_first(tmp_path):
    touch(tmp_path / "train" / "images", f"{A}_pre_disaster.webp", f"{A}_post_disaster.webp")
    touch(tmp_path / "train" / "images", f"{A}_post_disaster.png", f"{A}_pre_disaster.jpg")
    touch(tmp_path / "train" / "targets", f"{A}_pre_disaster_target.webp")
    (scene,) = find_scenes(tmp_path)
    assert (scene.pre_image.suffix, scene.post_image.suffix) == (".webp", ".png")
    assert scene.pre_target is None
