"""What is said of invented results: it must read right whichever way the numbers fall."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from lab_world import BLIND, HEADER, SEEN, by_key, make_results

from course_utils import lab
from course_utils.lab import report

REAL = {1: 0.5, 4: 0.6, 64: 0.7}


def curve(gains, *, retrieval=0.1, alone=0.2, more=None, **options):
    """Invent a curve for both generators: gains by shots, and of retrieval over drawings."""
    shares = {("zero_shot", "", 0): 0.4}
    for name in (BLIND, SEEN):
        shares["synthetic", name, 0] = 0.4 + alone
    for shots, real in REAL.items():
        shares["real", "", shots] = real
        for name in (BLIND, SEEN):
            shares["real+synthetic", name, shots] = real + gains[shots]
            shares["retrieval", name, shots] = real + gains[shots] + retrieval
    return make_results(shares | (more or {}), **options)


HELPS = curve(dict.fromkeys(REAL, 0.15))
HURTS = curve(dict.fromkeys(REAL, -0.15), retrieval=-0.15, alone=-0.2)
TURNS = curve({1: 0.2, 4: 0.03, 64: -0.15}, retrieval=0.03, alone=0.03)
NOTHING = curve(dict.fromkeys(REAL, 0.0), retrieval=0.0, alone=0.0, num_test=1000)
MIXED = "By the number of real images a class that they are added to, drawings of"
RETRIEVAL = (
    "In place of the drawings, as many of the images that the generator was trained on, again by "
    "the number of real images a class: for"
)
ALONE = (
    "Without any real image, zero-shot CLIP is right in 40.0 % of cases, and a classifier of "
    "drawings alone in"
)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (
            HELPS,
            [
                f"{MIXED} blind helped at 1, 4 and 64 (+15.0 points); "
                "seen helped at 1, 4 and 64 (+15.0 points).",
                f"{ALONE} 60.0 % with blind (helped) and 60.0 % with seen (helped).",
                f"{RETRIEVAL} blind better at 1, 4 and 64; seen better at 1, 4 and 64.",
            ],
        ),
        (
            HURTS,
            [
                f"{MIXED} blind hurt at 1, 4 and 64 (-15.0 points); "
                "seen hurt at 1, 4 and 64 (-15.0 points).",
                f"{ALONE} 20.0 % with blind (hurt) and 20.0 % with seen (hurt).",
                f"{RETRIEVAL} blind worse at 1, 4 and 64; seen worse at 1, 4 and 64.",
            ],
        ),
        (
            TURNS,
            [
                f"{MIXED} blind helped at 1 (+20.0 points), hurt at 64 "
                "(-15.0 points) and left it open at 4 (+3.0 points); seen helped at 1 (+20.0 "
                "points), hurt at 64 (-15.0 points) and left it open at 4 (+3.0 points).",
                f"{ALONE} 43.0 % with blind (cannot tell) and 43.0 % with seen (cannot tell).",
                f"{RETRIEVAL} blind no telling at 1, 4 and 64; seen no telling at 1, 4 and 64.",
            ],
        ),
        (
            NOTHING,
            [
                f"{MIXED} blind made no difference larger than 2 points "
                "at 1, 4 and 64; seen made no difference larger than 2 points at 1, 4 and 64.",
                f"{ALONE} 40.0 % with blind (no difference larger than 2 points) and 40.0 % with "
                "seen (no difference larger than 2 points).",
                f"{RETRIEVAL} blind the same at 1, 4 and 64; seen the same at 1, 4 and 64.",
            ],
        ),
    ],
    ids=["helps", "hurts", "turns", "nothing"],
)
def test_the_answer_says_in_three_sentences_what_the_numbers_say(results, expected):
    assert lab.answer(results, smallest=0.02) == expected


def test_gains_that_differ_are_said_from_the_least_to_the_largest():
    said = lab.answer(curve({1: 0.25, 4: 0.2, 64: 0.15}), smallest=0.02)
    assert "blind helped at 1, 4 and 64 (+15.0 … +25.0 points);" in said[0]


def test_sentences_without_their_arms_are_left_out():
    zero = {("zero_shot", "", 0): 0.4}
    assert lab.answer(make_results(zero), smallest=0.02) == []
    some = make_results({**zero, ("real", "", 4): 0.5, ("real+synthetic", SEEN, 4): 0.8})
    assert lab.answer(some, smallest=0.02) == [f"{MIXED} seen helped at 4 (+30.0 points)."]
    one = curve(dict.fromkeys(REAL, 0.15), num_seeds=1)  # no verdict, so nothing is claimed
    said = lab.answer(one, smallest=0.02)
    assert said[0].endswith(
        "60.0 % with blind (none (one seed)) and 60.0 % with seen (none (one seed))."
    )


def test_one_seed_says_nothing_of_retrieval():
    results = curve({1: 0.2, 4: 0.2, 64: 0.2}, retrieval=0.15, num_seeds=1)
    assert not any(
        "the images that the generator was trained on" in said
        for said in lab.answer(results, smallest=0.02)
    )


def test_many_comparisons_of_retrieval_are_corrected_together(monkeypatch):
    families = []

    def holm(p_values):
        families.append(len(p_values))
        return [1.0] * len(p_values)

    monkeypatch.setattr(report, "holm", holm)
    said = lab.answer(HELPS, smallest=0.02)
    assert families == [6]
    assert (
        said[2] == f"{RETRIEVAL} blind no telling at 1, 4 and 64; seen no telling at 1, 4 and 64."
    )


def gain_of(results, *key):
    entry = by_key(results.content)[key]
    low, high = 100 * entry["gain_low"], 100 * entry["gain_high"]
    return f"{100 * entry['gain']:+.1f} [{low:+.1f}, {high:+.1f}]"


MORE = {
    ("pooled", BLIND, 4): 0.9,
    ("shuffled", BLIND, 1): 0.3,
    ("shuffled", BLIND, 4): 0.9,
    ("clip_filter", SEEN, 4): 0.2,
    ("augmented", "", 4): 0.6,
    ("adapted", SEEN, 4): 0.8,
}


def test_findings_say_what_each_other_arm_did_and_warn_of_shuffled_labels():
    results = curve(dict.fromkeys(REAL, 0.15), more=MORE)
    at_four = "at 4 real images a class"
    assert lab.findings(results.content) == [
        "Real only reached 50.0 % (1), 60.0 % (4), 70.0 % (64) with so many real images a class "
        "(3 seeds, 100 test images).",
        f"put together (blind) {at_four}: {gain_of(results, 'pooled', BLIND, 4)} points "
        "against real only, helped.",
        f"real + CLIP-filtered (seen) {at_four}: {gain_of(results, 'clip_filter', SEEN, 4)} "
        "points against real only, hurt.",
        f"real + augmented copies {at_four}: {gain_of(results, 'augmented', '', 4)} points "
        "against real only, cannot tell.",
        f"real + adapted generator (seen) {at_four}: {gain_of(results, 'adapted', SEEN, 4)} "
        "points against real only, none (one seed).",
        f"Careful: {at_four} shuffled labels are as good as right ones with blind; then the "
        "images taught nothing.",
    ]
    assert lab.findings(make_results({("zero_shot", "", 0): 0.4}).content) == []


def test_the_terminal_shows_the_curve_and_the_answer(tmp_path):
    results = curve({1: 0.2, 4: 0.03, 64: -0.15}, more={("clip_filter", SEEN, 4): 0.2})
    said = lab.write_summary(results, tmp_path / "summary.txt", smallest=0.02)
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8") == f"{said}\n"
    title, empty, head, *lines = said.splitlines()
    assert title == (
        "a test, 100 test images: accuracy in %, against real images a class (in brackets points "
        "against real only, at 0 against zero-shot)"
    )
    assert empty == ""
    assert head.split() == ["0", "1", "4", "64"]
    table = {" ".join(line.split()) for line in lines[: lines.index("")]}
    assert table == {
        "zero-shot 40.0",
        "real only 50.0 60.0 70.0",
        *(f"synthetic only ({name}) 60.0 (+20.0)" for name in (BLIND, SEEN)),
        *(
            f"real + synthetic ({name}) 70.0 (+20.0) 63.0 (+3.0) 55.0 (-15.0)"
            for name in (BLIND, SEEN)
        ),
        *(
            f"real + retrieved ({name}) 80.0 (+30.0) 73.0 (+13.0) 65.0 (-5.0)"
            for name in (BLIND, SEEN)
        ),
    }
    assert lines[lines.index("") + 1 :] == lab.answer(results, smallest=0.02)


class Page(HTMLParser):
    """Read a page as a browser does: what is shown, and what is loaded."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown, self.attributes, self.open, self.tags = "", [], [], set()
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        self.attributes += attributes
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.shown += data


HOSTILE = '</p><script>alert("&amp;")</script>{x} {0}'


@pytest.fixture
def hostile(tmp_path):
    """Write a report in which everything that somebody names is hostile."""
    generators = [{"name": HOSTILE, "trained_on": "x", "settings": {}}]
    header = HEADER | dict.fromkeys(("data", "model", "answer", "commit"), HOSTILE)
    header |= {"generators": generators, "versions": {HOSTILE: HOSTILE}}
    shares = {("zero_shot", "", 0): 0.4, ("real", "", 4): 0.5}
    shares |= {("real+synthetic", HOSTILE, 4): 0.8, ("clip_filter", HOSTILE, 4): 0.8}
    results = make_results(shares, header=header)
    figure = tmp_path / "f.png"
    figure.write_bytes(b"not really a picture")
    path = tmp_path / "report.html"
    lab.write_report(results, {HOSTILE: figure}, path, smallest=0.02, notes=[HOSTILE])
    return results, path.read_text(encoding="utf-8")


def test_the_report_shows_every_name_as_it_is_and_runs_none(hostile):
    results, page = hostile
    read = Page(page)
    assert "script" not in read.tags
    assert read.shown.count(HOSTILE) > 10
    for sentence in (*lab.answer(results, smallest=0.02), *lab.findings(results.content)):
        assert sentence in read.shown
    assert ("alt", HOSTILE) in read.attributes


def test_the_report_is_one_page_that_loads_nothing_and_fits_a_phone(hostile):
    read = Page(hostile[1])
    assert ("name", "viewport") in read.attributes
    assert ("content", "width=device-width, initial-scale=1") in read.attributes
    sources = [value for name, value in read.attributes if name in ("src", "href")]
    assert sources
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    assert not re.search(r"https?:|url\(|@import", hostile[1])
    assert hostile[1].count('class="wide"') == hostile[1].count("<table") == 3


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, ["Gain in points by real images a class: 1: +5.", "It helped."]),
        ({"prediction": [], "answer": ""}, ["Nothing was predicted.", "None was written."]),
    ],
)
def test_the_report_has_the_learner_s_words_or_says_that_there_are_none(tmp_path, change, shown):
    results = replace(TURNS, content=TURNS.content | change)
    lab.write_report(results, {}, tmp_path / "r.html", smallest=0.02)
    read = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    for words in (*shown, *lab.answer(results, smallest=0.02), "python 3.12", "commit c0ffee"):
        assert words in read.shown
    for entry in results.content["settings"]:
        assert entry["arm"] in read.shown


def test_the_table_of_results_has_a_line_for_each_cell_and_no_gain_for_a_baseline():
    results = curve(dict.fromkeys(REAL, 0.15), more=MORE)
    table = lab.results_table(results.content)
    assert len(table) == len(results.content["summary"])
    assert table.loc["zero-shot"].tolist()[1] == "40.0 %"
    assert table.loc["zero-shot"].tolist()[3:] == ["", "", ""]
    line = table.loc["real + adapted generator (seen)"].tolist()
    assert (line[0], line[1], line[3], line[5]) == (
        4, "80.0 %", gain_of(results, "adapted", SEEN, 4), "none (one seed)",
    )  # fmt: skip


@pytest.mark.parametrize("arm", lab.ARMS)
def test_every_arm_has_a_name_in_words(arm):
    assert lab.arm_label(arm) != arm
    assert lab.arm_label(arm, BLIND).endswith("(blind)")


def test_sentences_are_there_in_every_language(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert len(lab.answer(TURNS, smallest=0.02)) == 3
    assert lab.findings(TURNS.content)
