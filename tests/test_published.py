"""Published numbers: complete, with sources, and the checkpoints they name exist."""

import csv
import json
from pathlib import Path
from statistics import mean

import pytest

from course_utils.examples.tables import read_labelled

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = (
    "imagenet_timeline",
    "he2023_table1",
    "he2023_few_shot",
    "geng2024",
    "sousa2025",
    "clip_zero_shot",
    "rs_foundation_models",
    "steiner",
    "caption_sets",
    "satsynth",
)


def read(name: str) -> list[dict[str, str]]:
    with open(DATA / "published" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_complete_and_names_its_source(name):
    rows = read(name)
    assert rows
    for row in rows:
        assert None not in row
        assert None not in row.values()
        assert row["source"].strip()
        assert all(value == value.strip() for value in row.values())


def test_accuracies_are_percent_and_dates_are_dates():
    for row in read("imagenet_timeline"):
        assert 50 < float(row["top1"]) < 100
        assert 1 <= int(row["month"]) <= 12
        assert row["arxiv"].startswith("arXiv:") or row["name"] == "AlexNet"
        if row["arxiv"]:  # submitted in the month of its number, or in the last days before
            year, month = 2000 + int(row["arxiv"][6:8]), int(row["arxiv"][8:10])
            assert 0 <= 12 * (year - int(row["year"])) + month - int(row["month"]) <= 1
    for row in read("clip_zero_shot"):
        assert 0 < float(row["top1"]) < 100


def test_checkpoints_of_the_timeline_exist_in_the_installed_libraries():
    import open_clip
    import timm
    from torchvision.models import get_weight

    known = {
        "timm": set(timm.list_pretrained()),
        "open_clip": {f"{name}/{tag}" for name, tag in open_clip.list_pretrained()},
    }
    for row in read("imagenet_timeline"):
        if row["library"] == "torchvision":
            weights = get_weight(row["checkpoint"])
            if row["name"] != "ViT-B/16":  # whose positions depend on the image size
                millions = weights.meta["num_params"] / 1e6
                assert float(row["million_parameters"]) == pytest.approx(millions, abs=0.05)
        else:
            assert row["checkpoint"] in known[row["library"]]
        if row["checkpoint_note"] == "the weights that were measured":
            top1 = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
            assert float(row["top1"]) == pytest.approx(top1, abs=0.05)


def test_gains_with_synthetic_images_are_the_differences_of_their_columns():
    rows = read("he2023_table1")
    for row in rows:
        difference = float(row["clip_syn"]) - float(row["clip"])
        slack = 0.011 if row["kind"] == "data set" else 0.031  # the printed means do not add up
        assert float(row["gain"]) == pytest.approx(difference, abs=slack)
    names = [row["data"] for row in rows if row["kind"] == "data set"]
    assert len(names) == 34
    assert names[:17] == names[17:]


@pytest.mark.parametrize(
    ("backbone", "clip", "clip_syn", "is_right"),
    [("RN50", 55.26, 59.57, False), ("ViT-B/16", 65.42, 68.32, True)],
)
def test_printed_means_are_wrong_for_one_backbone(backbone, clip, clip_syn, is_right):
    rows = [row for row in read("he2023_table1") if row["backbone"] == backbone]
    (printed,) = [row for row in rows if row["kind"] == "printed mean"]
    for key, expected in (("clip", clip), ("clip_syn", clip_syn)):
        found = mean(float(row[key]) for row in rows if row["kind"] == "data set")
        assert found == pytest.approx(expected, abs=0.006)
        assert (abs(found - float(printed[key])) < 0.006) == is_right


def test_eurosat_gains_most_from_synthetic_images_with_both_backbones():
    for backbone in ("RN50", "ViT-B/16"):
        rows = [row for row in read("he2023_table1") if row["backbone"] == backbone]
        assert max(rows, key=lambda row: float(row["gain"]))["data"] == "EuroSAT"


def few_shot(method: str, reading: str = "figure") -> dict[int, float]:
    rows = [row for row in read("he2023_few_shot") if row["reading"].startswith(reading)]
    return {int(row["shots"]): float(row["top1"]) for row in rows if row["method"] == method}


def test_the_few_shot_figure_is_whole_and_rises_with_every_method():
    methods = {row["method"] for row in read("he2023_few_shot") if "figure" in row["reading"]}
    assert methods == {"CT with Syn", "CT", "Tip-Adapter", "CoOp"}
    for method in methods:
        curve = few_shot(method)
        assert list(curve) == ([0] if method == "CT with Syn" else []) + [1, 2, 4, 8, 16]
        assert list(curve.values()) == sorted(curve.values())


def test_numbers_read_off_the_few_shot_figure_agree_with_printed_ones():
    figure, table = few_shot("CT with Syn"), read("he2023_table1")
    (row,) = [r for r in table if (r["data"], r["backbone"]) == ("EuroSAT", "RN50")]
    assert figure[0] == pytest.approx(float(row["clip_syn"]), abs=0.3)
    assert few_shot("CLIP", "printed") == {0: float(row["clip"])}
    named = few_shot("CT with Syn", "checkpoint name")
    assert figure[0] == pytest.approx(named[0], abs=0.3)
    assert figure[4] == pytest.approx(named[4], abs=2)  # checkpoints are other runs
    assert few_shot("CT")[16] == pytest.approx(few_shot("CT", "checkpoint name")[16], abs=1)


def test_synthetic_images_help_he_et_al_most_where_real_ones_are_fewest():
    gains = {shots: few_shot("CT with Syn")[shots] - top1 for shots, top1 in few_shot("CT").items()}
    assert max(gains, key=gains.get) in (1, 2)
    assert min(gains.values()) > 2


def test_sousa_s_gains_are_over_zero_shot_clip_with_several_templates_and_say_their_caveat():
    published = {
        (row["architecture"].replace("B-", "B/"), row["top1"])
        for row in read("clip_zero_shot")
        if row["data"] == "EuroSAT" and row["reported_by"] == "CLIP paper"
    }
    for row in read("sousa2025"):
        difference = float(row["with_synthetic"]) - float(row["clip"])
        assert float(row["gain"]) == pytest.approx(difference)
        assert (row["backbone"], row["clip"]) in published
        assert "tuned on Earth-observation images" in row["caveat"]


def test_geng_et_al_are_quoted_without_numbers_that_were_not_read():
    rows = {row["what"]: row["value"] for row in read("geng2024")}
    assert "matched or outperformed" in rows["finding"]
    assert not any("%" in value for value in rows.values())


def test_one_model_has_several_published_accuracies_on_one_data_set():
    def found(architecture: str) -> list[float]:
        wanted = {"model": "CLIP", "architecture": architecture, "data": "EuroSAT"}
        rows = [row for row in read("clip_zero_shot") if wanted.items() <= row.items()]
        return sorted(float(row["top1"]) for row in rows if row["pretraining"] == "openai")

    assert found("RN50") == [28.3, 37.51, 40.8, 41.1]
    assert found("ViT-B-32") == [45.3, 49.4, 50.4, 50.7]
    assert found("ViT-B-16") == [47.77, 54.1, 55.6, 55.9]


def test_printed_means_of_zero_shot_tables_follow_from_their_columns():
    rows = read("clip_zero_shot")
    slack = {"RS-TransCLIP": 0.1, "Git-RSCLIP": 0.7}  # printed to 0.1 and to whole percents
    for row in rows:
        if row["kind"] == "printed mean":
            same = ("model", "architecture", "reported_by")
            columns = [
                float(other["top1"])
                for other in rows
                if other["kind"] == "data set" and all(other[key] == row[key] for key in same)
            ]
            assert f"{len(columns)} sets" == row["data"]
            assert float(row["top1"]) == pytest.approx(mean(columns), abs=slack[row["reported_by"]])


def test_models_that_the_course_loads_are_in_its_lock_under_the_same_id():
    lock = json.loads((DATA / "artifacts.lock.json").read_text(encoding="utf-8"))["artifacts"]
    rows = read("rs_foundation_models")
    loaded = [(name, row) for row in rows for name in row["lock_names"].split()]
    assert {"remoteclip_vit_b_32", "git_rsclip", "text2earth"} <= {name for name, _ in loaded}
    for name, row in loaded:
        assert lock[name]["id"] in row["hub_ids"].split()


def test_copies_that_do_not_load_say_so():
    (row,) = [row for row in read("rs_foundation_models") if "MVRL's" in row["name"]]
    assert "cannot be loaded with transformers" in row["note"]
    assert not row["lock_names"]


def test_caption_sets_agree_with_the_list_of_data_sets_and_their_samples_are_about_shipped_photos():
    sets = {row["data"]: row for row in read("image_sets")}
    gallery = DATA / "ucmerced_gallery" / "ucmerced_gallery.parquet"
    photos = {name for _, _, name in read_labelled(gallery)[0]}
    for row in read("caption_sets"):
        assert row["num_images"] == sets[row["data"]]["num_images"]
        assert row["captions_per_image"] == sets[row["data"]]["captions_per_image"]
        per_image = int(row["sentences_read"]) / int(row["images_read"])
        assert per_image == int(row["captions_per_image"])
        assert int(row["words_least"]) < float(row["words_mean"]) < int(row["words_most"])
        assert int(row["images_with_repeats"]) <= int(row["images_read"]) <= int(row["num_images"])
        assert row["photo"] in photos
        for sample in row["samples"].split(" | "):  # in the manner of the set, in length too
            assert int(row["words_least"]) <= len(sample.split()) <= int(row["words_most"])


def test_every_data_set_of_he_et_al_has_the_letter_of_its_task_with_both_backbones():
    letters = {}
    for row in read("he2023_table1"):
        if row["kind"] == "data set":
            letters.setdefault(row["data"], set()).add(row["task"])
    assert all(len(some) == 1 for some in letters.values())
    assert {some for (some,) in letters.values()} == {"o", "s", "f", "t", "si", "r"}
    assert letters["EuroSAT"] == {"si"}


def test_models_on_the_hub_have_a_page_to_link_to_but_those_whose_address_is_not_known():
    for row in read("rs_foundation_models"):
        kind = {"collection": "collections/", "image pairs with captions of disasters": "datasets/"}
        page = f"https://huggingface.co/{kind.get(row['kind'], '')}"
        known = row["hub_ids"] and row["name"] != "RSEdit"  # a collection without its number
        assert row["hub_page"] == (page if known else "")
