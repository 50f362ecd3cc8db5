"""Say what was found: sentences computed from the numbers, and one page to hand in."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from course_utils.lab.results import QUESTION, Key, Results
from course_utils.metrics import Interval, crossed_interval, holm, p_value, verdict
from course_utils.runtime import write_atomically
from course_utils.texts import catalog, text

VERDICTS = ("helped", "hurt", "no difference larger than that", "cannot tell")


def arm_label(arm: str, generator: str = "") -> str:
    """Name an arm as figures and tables do, with its generator where it has one."""
    return f"{text(f'arm.{arm}')}{f' ({generator})' if generator else ''}"


def curve_table(content: Mapping) -> pd.DataFrame:
    """Lay out accuracy (%) against shots, a row an arm; for what is compared also the gain."""
    cells = {}
    for entry in content["summary"]:
        said = f"{100 * entry['accuracy']:.1f}"
        if entry["arm"] not in ("zero_shot", "real"):
            said += f" ({100 * entry['gain']:+.1f})"
        cells.setdefault((entry["arm"], entry["generator"]), {})[entry["shots"]] = said
    shots = sorted({entry["shots"] for entry in content["summary"]})
    rows = {arm_label(*key): [row.get(num, "") for num in shots] for key, row in cells.items()}
    return pd.DataFrame(rows.values(), index=list(rows), columns=shots)


def results_table(content: Mapping) -> pd.DataFrame:
    """Lay out the summary: one line an arm, generator and number of shots; percent and points."""
    lines = [
        {
            text("table.arm"): arm_label(entry["arm"], entry["generator"]),
            text("table.shots"): entry["shots"],
            text("table.accuracy"): f"{100 * entry['accuracy']:.1f} %",
            text("table.interval"): _range(entry["accuracy_low"], entry["accuracy_high"]),
            text("table.gain"): "" if _is_baseline(entry) else _gain(entry),
            text("table.p"): "" if _is_baseline(entry) else f"{entry['p_holm']:.3f}",
            text("table.verdict"): "" if _is_baseline(entry) else _word(entry["verdict"]),
        }
        for entry in content["summary"]
    ]
    return pd.DataFrame(lines).set_index(text("table.arm"))


def _is_baseline(entry: Mapping) -> bool:
    return entry["arm"] in ("zero_shot", "real")


def _word(word: str, smallest: float | None = None) -> str:
    if smallest is not None and word == VERDICTS[2]:
        return text("verdict.not_larger", smallest=f"{100 * smallest:g}")
    return text(f"verdict.{word}") if word else text("verdict.none")


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} – {100 * high:.1f}"


def _gain(entry: Mapping) -> str:
    low, high = 100 * entry["gain_low"], 100 * entry["gain_high"]
    return f"{100 * entry['gain']:+.1f} [{low:+.1f}, {high:+.1f}]"


def answer(results: Results, *, smallest: float) -> list[str]:
    """Answer the lab's question in three sentences, each computed from the numbers.

    The drawings added to real images; the drawings alone; as many of the generator's own training
    images in their place. A sentence whose arms were not measured is left out.
    """
    summary = results.content["summary"]
    names = [generator["name"] for generator in results.content["generators"]]
    mixed = [_said_of(summary, QUESTION, name, smallest) for name in names]
    said = [text("answer.mixed", parts="; ".join(filter(None, mixed)))] if any(mixed) else []
    if alone := [e for e in summary if e["arm"] == "synthetic"]:
        zero = next(e for e in summary if e["arm"] == "zero_shot")
        parts = [
            text(
                "answer.alone_one",
                generator=e["generator"],
                accuracy=f"{100 * e['accuracy']:.1f}",
                verdict=_word(e["verdict"], smallest),
            )
            for e in alone
        ]
        zero_shot = f"{100 * zero['accuracy']:.1f}"
        said.append(text("answer.alone", zero_shot=zero_shot, parts=_listed(parts)))
    if kept := _retrieval(results, names, smallest):
        said.append(text("answer.retrieval", parts="; ".join(kept)))
    return said


def _said_of(summary: Sequence[Mapping], arm: str, generator: str, smallest: float) -> str:
    """Say at which shots an arm helped, hurt, made no difference, or left it open."""
    found = [e for e in summary if (e["arm"], e["generator"]) == (arm, generator)]
    parts = []
    for word in VERDICTS:
        some = [e for e in found if e["verdict"] == word]
        if some:
            gains = [f"{gain:+.1f}" for gain in sorted(100 * e["gain"] for e in some)]
            ends = " … ".join(dict.fromkeys([gains[0], gains[-1]]))
            shots = _listed([str(e["shots"]) for e in some])
            values = {"shots": shots, "gains": ends, "smallest": f"{100 * smallest:g}"}
            parts.append(text(f"answer.{word}", **values))
    return text("answer.generator", generator=generator, parts=_listed(parts)) if parts else ""


def _retrieval(results: Results, names: Sequence[str], smallest: float) -> list[str]:
    """Say for each generator at which shots its training images beat its drawings, or lost.

    The p-values of all these comparisons are corrected together; one seed says nothing.
    """
    keys = {(e["arm"], e["generator"], e["shots"]) for e in results.content["summary"]}
    found = sorted(key for key in keys if key[0] == "retrieval" and (QUESTION, *key[1:]) in keys)
    pairs = {key[1:]: differences_of(results, key, (QUESTION, *key[1:])) for key in found}
    gains = {key: crossed_interval(some) for key, some in pairs.items() if len(some) > 1}
    p = dict(zip(gains, holm([p_value(gain) for gain in gains.values()]), strict=True))
    said = []
    for name in names:
        shots_by_word: dict[str, list[str]] = {}
        for key, gain in gains.items():
            if key[0] == name:
                word = verdict(gain, smallest=smallest, p=p[key])
                shots_by_word.setdefault(word, []).append(str(key[1]))
        parts = [
            text(f"answer.retrieval_{word}", shots=_listed(shots_by_word[word]))
            for word in VERDICTS
            if word in shots_by_word
        ]
        if parts:
            said.append(text("answer.generator", generator=name, parts=_listed(parts)))
    return said


def _listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: a, b and c."""
    if len(words) < 2:
        return "".join(words)
    return text("list.and", first=", ".join(words[:-1]), last=words[-1])


def answers_of(results: Results, key: Key) -> pd.DataFrame:
    """Read a cell's saved predictions, without probabilities: a line a seed and image."""
    found = results.answers.get(key)
    return next(iter(results.answers.values())).iloc[:0] if found is None else found


def hits_of(results: Results, key: Key) -> torch.Tensor:
    """Read from the saved predictions which images a cell got right: seeds x images, 0 or 1."""
    return _hits(answers_of(results, key))


def _hits(table: pd.DataFrame) -> torch.Tensor:
    hits = (table["prediction"] == table["label"]).to_numpy().astype(float)
    return torch.from_numpy(hits.reshape(table["seed"].nunique(), -1))


def differences_of(results: Results, key: Key, other: Key) -> torch.Tensor:
    """Give right less right of two cells over the seeds that both have: seeds x images."""
    tables = [answers_of(results, each) for each in (key, other)]
    shared = set(tables[0]["seed"]) & set(tables[1]["seed"])
    a, b = (_hits(table[table["seed"].isin(shared)]) for table in tables)
    return a - b


def paired(results: Results, key: Key, other: Key) -> Interval:
    """Bound by how much one cell is more accurate than another, over the seeds that both have."""
    return crossed_interval(differences_of(results, key, other))


def findings(content: Mapping) -> list[str]:
    """State what else was found, every number from ``Results.content``."""
    summary = content["summary"]
    by_key = {(e["arm"], e["generator"], e["shots"]): e for e in summary}
    num_seeds = len({row["seed"] for row in content["rows"]})
    real = [e for e in summary if e["arm"] == "real"]
    said = []
    if real:
        curve = ", ".join(f"{100 * e['accuracy']:.1f} % ({e['shots']})" for e in real)
        said.append(text("finding.real", curve=curve, seeds=num_seeds, num=content["num_test"]))
    for e in summary:
        if e["arm"] not in ("zero_shot", "real", "synthetic", QUESTION, "retrieval", "shuffled"):
            what = arm_label(e["arm"], e["generator"])
            values = {"what": what, "shots": e["shots"], "gain": _gain(e)}
            said.append(text("finding.arm", verdict=_word(e["verdict"]), **values))
    for (arm, generator, shots), e in by_key.items():
        right = by_key.get((QUESTION, generator, shots))
        if arm == "shuffled" and right and e["accuracy"] >= right["accuracy"]:
            said.append(text("finding.shuffled", generator=generator, shots=shots))
    return said


def write_summary(results: Results, path: Path, *, smallest: float) -> str:
    """Write the curve as a table and the answer in three sentences, for a terminal; give it.

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    content = results.content
    kept = [e for e in content["summary"] if e["arm"] in ("zero_shot", "real", *_SHOWN)]
    table = curve_table({**content, "summary": kept}).to_string()
    title = text("summary.title", data=content["data"], num=content["num_test"])
    said = "\n".join([title, "", table, "", *answer(results, smallest=smallest)])
    write_atomically(path, f"{said}\n".encode())
    return said


_SHOWN = ("synthetic", QUESTION, "pooled", "retrieval", "shuffled")


def write_report(
    results: Results,
    figures: Mapping[str, Path],
    path: Path,
    *,
    smallest: float,
    notes: Sequence[str] = (),
) -> None:
    """Write one self-contained HTML page, readable on a phone.

    It has the answers of the experiment and of the student, the prediction, figures, tables,
    settings and how all was made.

    Args:
        results: from `tabulate`.
        figures: PNG files by caption, or by what follows ``figure.`` in a key of the texts.
        path: where to write.
        smallest: the smallest effect of interest, a share.
        notes: what a reader must know about data and models (stand-ins, skipped files).

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    content = results.content
    names = ", ".join(generator["name"] for generator in content["generators"])
    made = text(
        "report.made",
        generators=names,
        num_seconds=f"{content['seconds']:.0f}",
        **{key: content[key] for key in ("task", "profile", "data", "model", "started", "commit")},
    )
    page = _PAGE.format(
        title=html.escape(text("report.title")),
        answer=_paragraphs(answer(results, smallest=smallest)),
        made=html.escape(made),
        prediction_title=html.escape(text("report.prediction")),
        prediction=html.escape(_prediction(content)),
        written_title=html.escape(text("report.answer")),
        written=html.escape(content["answer"] or text("report.no_answer")),
        sentences=_items(findings(content)),
        curve=_table(curve_table(content).reset_index(names=text("table.arm"))),
        table=_table(results_table(content).reset_index()),
        settings=_table(pd.DataFrame(content["settings"])),
        pictures="".join(_figure(*each) for each in figures.items()),
        heading=html.escape(text("report.notes")),
        remarks=_items([*notes, *_versions(content)]),
        **{name: html.escape(text(f"report.{name}")) for name in ("all_rows", "all_settings")},
    )
    write_atomically(path, page.encode())


def _prediction(content: Mapping) -> str:
    told = [f"{each['shots']}: {each['gain']:+g}" for each in content["prediction"]]
    return text("report.predicted", gains=", ".join(told)) if told else text("report.no_prediction")


def _versions(content: Mapping) -> list[str]:
    return [", ".join(f"{name} {version}" for name, version in content["versions"].items())]


def _table(frame: pd.DataFrame) -> str:
    return f'<div class="wide">{frame.to_html(index=False, border=0)}</div>'


def _figure(caption: str, file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    key = f"figure.{caption}"
    caption = html.escape(text(key) if key in catalog() else caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f'<p class="answer">{html.escape(line)}</p>' for line in lines)


def _items(lines: Sequence[str]) -> str:
    return "".join(f"<li>{html.escape(line)}</li>" for line in lines)


_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #ccc }}
.wide, figure {{ overflow-x: auto }} td {{ overflow-wrap: normal }}
.written {{ white-space: pre-wrap; border-left: 4px solid #ccc }}
.written {{ padding-left: 1rem }}
img {{ max-width: 100% }} figure {{ margin: 2rem 0 }} figcaption {{ color: #444 }}
.answer {{ font-size: 1.15rem; font-weight: 600 }}
@media (max-width: 40rem) {{ figure img {{ max-width: none; width: 50rem }} }}
</style></head><body>
<h1>{title}</h1>{answer}<p>{made}</p>
<h2>{prediction_title}</h2><p>{prediction}</p>
<h2>{written_title}</h2><p class="written">{written}</p>
{pictures}{curve}<ul>{sentences}</ul>
<details><summary>{all_rows}</summary>{table}</details>
<details><summary>{all_settings}</summary>{settings}</details>
<h2>{heading}</h2><ul>{remarks}</ul>
</body></html>
"""
