"""Runtime: what the variables mean, what happens with bad ones, and seeds that stay apart."""

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jaxtyping
import nbformat
import numpy as np
import psutil
import pytest
import torch
from nbclient import NotebookClient

import mini_earth
from course_utils import examples, lab, runtime, text2image, texts, widgets, xbd
from course_utils.examples import read_scene_classes


@pytest.fixture(autouse=True)
def _folders_of_this_test(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))


def test_without_variables_the_small_offline_profile_is_chosen():
    run = runtime.setup()
    assert run.profile == runtime.PROFILES["mini"]
    assert (run.data, run.models, run.language, run.seed, run.notes) == (None, None, "en", 0, ())
    assert run.out.is_dir()
    assert list(run.out.iterdir()) == list(run.cache.iterdir()) == []  # the probes are gone


def test_variables_decide_and_arguments_beat_them(monkeypatch):
    for name, value in {"PROFILE": "t4", "LANG": "zh", "SEED": "7"}.items():
        monkeypatch.setenv(f"COURSE_{name}", value)
    run = runtime.setup()
    assert (run.profile.name, run.language, run.seed) == ("t4", "zh", 7)
    run = runtime.setup(profile="full", language="en", seed=0)
    assert (run.profile.name, run.language, run.seed) == ("full", "en", 0)


def test_an_empty_variable_counts_as_unset(monkeypatch):
    for name in ("PROFILE", "DATA", "MODELS", "LANG", "SEED"):
        monkeypatch.setenv(f"COURSE_{name}", "")
    run = runtime.setup()
    assert (run.profile.name, run.data, run.models) == ("mini", None, None)
    assert (run.language, run.seed) == ("en", 0)


def test_the_language_reaches_the_texts():
    runtime.setup(language="zh")
    assert texts.text("verdict.hurt") == "有损害"
    assert runtime.LANGUAGES == runtime.LANGUAGES


def test_the_default_folders_lie_in_the_course(monkeypatch):
    probed = []
    monkeypatch.setattr(runtime, "_probe", probed.append)
    monkeypatch.delenv("COURSE_OUT")
    monkeypatch.delenv("COURSE_CACHE")
    run = runtime.setup(name="some_lab")
    root = Path(__file__).resolve().parents[1]
    assert probed == [run.cache, run.out] == [root / "outputs/cache", root / "outputs/some_lab"]
    assert runtime.repo_root() == root
    assert runtime.data_root() == root / "data"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PROFILE", "huge", "COURSE_PROFILE: expected one of mini, t4, full, got 'huge'"),
        ("LANG", "fr", "COURSE_LANG: expected one of en, zh, got 'fr'"),
        ("SEED", "1.5", r"COURSE_SEED: expected a whole number from 0 .* got '1.5'"),
        ("SEED", "-1", r"COURSE_SEED: expected a whole number from 0 .* got '-1'"),
        ("SEED", "9223372036854775808", r"COURSE_SEED: .* got 9223372036854775808"),
        ("SEED", "seven", "COURSE_SEED: expected a whole number"),
    ],
)
def test_a_bad_value_is_answered_with_what_was_expected(variable, value, message, monkeypatch):
    monkeypatch.setenv(f"COURSE_{variable}", value)
    with pytest.raises(ValueError, match=message):
        runtime.setup()


@pytest.mark.parametrize("variable", ["COURSE_DATA", "COURSE_MODELS"])
def test_a_folder_to_read_must_exist_and_the_error_says_where_we_looked(
    variable, tmp_path, monkeypatch
):
    (tmp_path / "a_file").write_bytes(b"")
    for value in (str(tmp_path / "nowhere"), str(tmp_path / "a_file")):
        monkeypatch.setenv(variable, value)
        with pytest.raises(
            FileNotFoundError, match=f"{variable}=.* is no folder: looked at {value}"
        ):
            runtime.setup()
    monkeypatch.setenv(variable, str(tmp_path))
    run = runtime.setup()
    assert tmp_path in (run.data, run.models)


def test_the_name_of_a_data_set_is_kept_unless_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tuple(read_scene_classes()) == runtime.DATA_SETS, "those that load_scenes takes"
    for name in runtime.DATA_SETS:
        monkeypatch.setenv("COURSE_DATA", name)
        assert runtime.setup().data == name
    (tmp_path / "aid").mkdir()
    assert runtime.setup().data == tmp_path / "aid"


@pytest.mark.parametrize("value", ["moon", "rsicd", "./eurosat", "EuroSAT"])
def test_what_is_neither_a_folder_nor_a_data_set_is_answered_with_the_names(
    value, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", value)
    with pytest.raises(FileNotFoundError, match=r"Give a folder.*resisc45, eurosat, ucmerced, aid"):
        runtime.setup()


def test_a_cache_that_cannot_be_written_is_replaced_and_the_learner_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")  # a file where the folder should be; chmod stops no root
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = runtime.setup()
    assert run.cache.parent == tmp_path
    assert run.cache.is_dir()
    (note,) = run.notes
    assert str(tmp_path / "file") in note
    assert str(run.cache) in note
    assert "COURSE_CACHE" in note


def test_results_that_cannot_be_saved_stop_the_run_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("COURSE_OUT", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"no results can be saved .*set COURSE_OUT.*file"):
        runtime.setup()


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_noticed_before_anything_is_computed(tmp_path):
    with pytest.raises(OSError, match=r"No space left.*free some space, or set COURSE_OUT"):
        runtime.setup()
    assert list((tmp_path / "out").iterdir()) == []


def test_relative_paths_start_where_we_are_and_absolute_ones_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runtime.resolve_path("a/../b") == tmp_path / "b"
    assert runtime.resolve_path(tmp_path / "c") == tmp_path / "c"
    assert runtime.resolve_path("~") == Path.home().resolve()


def test_in_a_real_kernel_relative_paths_start_where_the_command_was_typed(tmp_path, monkeypatch):
    caller, notebooks = tmp_path / "caller", tmp_path / "notebooks"
    caller.mkdir()
    notebooks.mkdir()
    monkeypatch.chdir(caller)
    monkeypatch.setenv("PYTHONPATH", str(runtime.repo_root()))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    child = "import course_utils.runtime as r; print(r.resolve_path('x'))"
    cells = [
        "import os, subprocess, sys\nfrom course_utils import runtime\n"
        "print(os.getcwd(), runtime.resolve_path('x'), sep='\\n')",
        f"print(subprocess.check_output([sys.executable, '-c', {child!r}], text=True))",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, resources={"metadata": {"path": str(notebooks)}}).execute()
    seen = [cell.outputs[0].text.split() for cell in book.cells]
    assert seen == [[str(notebooks), str(caller / "x")], [str(notebooks / "x")]]


def test_a_kernel_whose_parent_is_gone_falls_back_to_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    for parent in ("4194304999", "not a number"):
        monkeypatch.setenv("JPY_PARENT_PID", parent)
        assert runtime.resolve_path("x") == tmp_path / "x"
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getppid()))
    assert runtime.resolve_path("x") == Path(psutil.Process(os.getppid()).cwd()) / "x"


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch):
    assert runtime.pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert runtime.pick_device() == torch.device("cpu")
    for device in ("cuda", "cuda:0", "mps", "tpu"):
        with pytest.raises(ValueError, match=f"expected one of cpu, got '{device}'"):
            runtime.pick_device(device)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.pick_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.pick_device() == torch.device("cuda")
    assert runtime.pick_device("cuda:0") == torch.device("cuda:0")


def test_equal_seeds_draw_equal_numbers_and_others_do_not():
    draws = [torch.rand(3, generator=runtime.seeded(seed)).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_derived_seeds_are_the_same_on_every_machine_and_in_every_process():
    # sha256 of the bytes ["train", 3], by the shell: printf '["train", 3]' | sha256sum
    assert runtime.derive_seed("train", 3) == int("8674a799d72ce579", 16) // 2
    code = "import course_utils.runtime as r; print(r.derive_seed('train', 3))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=runtime.repo_root()
    )
    assert int(other.stdout) == runtime.derive_seed("train", 3)


def test_derived_seeds_of_different_parts_differ_and_fit_63_bits():
    parts = [
        (),
        (1,),
        ("1",),
        (1.0,),
        (1, 2),
        (12,),
        ("a", "b"),
        ("ab",),
        ("a,b",),
        (True,),
        (None,),
    ]
    seeds = [runtime.derive_seed(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    many = [runtime.derive_seed(i) for i in range(200)]
    assert all(0 <= seed < 2**63 for seed in many)
    assert max(many) > 2**62  # the high bits are used
    runtime.seeded(max(many))
    np.random.default_rng(max(many))


def test_parts_whose_text_may_vary_are_refused_and_numbers_of_numpy_are_numbers():
    for part in (Path("a"), object(), torch.tensor(3)):
        with pytest.raises(TypeError, match="parts of a seed"):
            runtime.derive_seed(part)
    assert runtime.derive_seed("a", [np.int64(3)]) == runtime.derive_seed("a", [3])


NO_SEEDS = [-1, 2**63, 2**64, 2**200, True, 1.0, 1.5, math.nan, np.float64(3), np.True_, "3", "a"]
NO_SEEDS += [None, [1], torch.tensor(3)]


@pytest.mark.parametrize("seed", NO_SEEDS, ids=repr)
def test_what_is_no_seed_is_refused_before_any_work(seed, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    takers = {
        "seeded": lambda: runtime.seeded(seed),
        "plan_grid": lambda: lab.plan_grid(runtime.Profile(), None, seed=seed),
        "GenerationConfig": lambda: text2image.GenerationConfig(seed=seed),
        "make_scene": lambda: mini_earth.make_scene("forest", mini_earth.TEST_STYLE, seed=seed),
        "sample_views": lambda: next(
            mini_earth.sample_views(1, styles=[mini_earth.TEST_STYLE], seed=seed)
        ),
        "write_xbd": lambda: mini_earth.write_xbd_steps("never made", seed=seed),
        "spread": lambda: examples.spread((), 1, seed=seed),
        "split_scenes": lambda: xbd.split_scenes((), seed=seed),
        "steps_panel": lambda: widgets.steps_panel(None, None, None, seed=seed),
    }
    if seed is not None:  # which asks for the default
        takers["setup"] = lambda: runtime.setup(seed=seed)
    for name, take in takers.items():
        with pytest.raises(ValueError, match=r"seeds?\b.* (whole number|0 to 2\^63)"):
            pytest.fail(f"{name} took {take()}")


@pytest.mark.parametrize("seed", [0, 2**63 - 1, np.int64(7), np.uint8(7), np.uint64(2**63 - 1)])
def test_numbers_from_0_to_63_bits_are_seeds_also_those_of_numpy(seed, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUT", str(tmp_path))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    pixels = np.zeros((1, 1, 3), np.uint8)
    part = tuple(examples.Example(0, "real", pixels=pixels) for _ in range(2))
    data = examples.Splits(part, part, part, ("a",), ("a",), "a test")
    found = [
        runtime.check_seed(seed),
        runtime.seeded(seed).initial_seed(),
        runtime.setup(seed=seed).seed,
        lab.plan_grid(runtime.Profile(num_seeds=1), data, seed=seed).seeds[0],
        text2image.GenerationConfig(seed=seed).seed,
        mini_earth.make_scene("forest", mini_earth.TEST_STYLE, seed=seed).seed,
    ]
    assert [type(each) for each in found] == [int] * len(found)
    assert set(found) == {int(seed)}


def test_the_report_names_versions_and_machine_but_no_folder():
    report = runtime.environment_report()
    assert report["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "system", "device", "cores", "memory"} <= set(report)
    assert report["memory"].endswith(" GiB")
    assert not any(os.sep in value for value in report.values())


def test_the_report_says_which_package_is_missing(monkeypatch):
    monkeypatch.setattr(runtime, "PACKAGES", ("no_such_package",))
    assert runtime.environment_report()["no_such_package"] == "not installed"


def test_the_data_may_be_the_disasters_by_name_or_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", "disasters")
    assert runtime.setup().data == runtime.DISASTERS
    (tmp_path / "disasters").mkdir()
    assert runtime.setup().data == tmp_path / "disasters"
