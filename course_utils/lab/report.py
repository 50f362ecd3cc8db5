"""Say what was found: sentences computed from the numbers, and one page to hand in."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from course_utils.runtime import write_atomically
from course_utils.texts import text

Content = Mapping[str, object]


def results_table(content: Content) -> pd.DataFrame:
    """Lay out the summary of ``Results.content``: one line an arm and ratio, percent and points."""
    lines = []
    for entry in content["summary"]:
        has_synthetic = entry["arm"] in ("real+synthetic", "synthetic")
        lines.append(
            {
                text("table.arm"): arm_label(entry["arm"], entry["ratio"]),
                text("table.accuracy"): f"{100 * entry['accuracy']:.1f} %",
                text("table.interval"): _range(entry["accuracy_low"], entry["accuracy_high"]),
                text("table.macro_f1"): f"{100 * entry['macro_f1']:.1f} %",
                text("table.gain"): "" if entry["arm"] == "real" else _gain(entry),
                text("table.verdict"): text(f"verdict.{entry['verdict']}") if has_synthetic else "",
            }
        )
    return pd.DataFrame(lines).set_index(text("table.arm"))


def arm_label(arm: str, ratio: int) -> str:
    """Name an arm as figures and tables do."""
    label = text(f"arm.{arm}")
    has_ratio = arm in ("real+synthetic", "synthetic", "real+seen", "shuffled")
    return f"{label} 1:{ratio}" if has_ratio else label


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} – {100 * high:.1f}"


def _gain(entry: Mapping) -> str:
    low, high = 100 * entry["gain_low"], 100 * entry["gain_high"]
    return f"{100 * entry['gain']:+.1f} [{low:+.1f}, {high:+.1f}]"


def findings(content: Content) -> list[str]:
    """State what was found, in sentences whose every number comes from ``Results.content``."""
    summary = {(entry["arm"], entry["ratio"]): entry for entry in content["summary"]}
    rows = content["rows"]
    num_seeds = len({row["seed"] for row in rows})
    real = summary["real", 0]
    said = [
        text(
            "finding.real",
            shots=max(row["shots"] for row in rows),
            seeds=num_seeds,
            accuracy=f"{100 * real['accuracy']:.1f}",
            interval=_range(real["accuracy_low"], real["accuracy_high"]),
            zero_shot=f"{100 * summary['zero_shot', 0]['accuracy']:.1f}",
        )
    ]
    for (arm, ratio), entry in summary.items():
        if arm in ("real+synthetic", "real+seen"):
            verb = text(f"finding.{entry['verdict']}")
            what = arm_label(arm, ratio)
            said.append(text("finding.arm", what=what, verb=verb, gain=_gain(entry)))
    alone = [entry for (arm, _), entry in summary.items() if arm == "synthetic"]
    best = max(alone, key=lambda entry: entry["accuracy"])
    said.append(
        text(
            "finding.synthetic",
            ratio=best["ratio"],
            accuracy=f"{100 * best['accuracy']:.1f}",
            gain=_gain(best),
        )
    )
    shuffled = next(entry for (arm, _), entry in summary.items() if arm == "shuffled")
    said.append(
        text(
            "finding.controls",
            duplicated=_gain(summary["real_duplicated", 0]),
            shuffled=f"{100 * shuffled['accuracy']:.1f}",
            zero_shot=f"{100 * summary['zero_shot', 0]['accuracy']:.1f}",
        )
    )
    return said


def verdict_sentence(content: Content) -> str:
    """Answer the lab's question in one sentence: over the ratios, did mixing help or hurt?"""
    mixed = [entry for entry in content["summary"] if entry["arm"] == "real+synthetic"]
    words = {entry["verdict"] for entry in mixed}
    if words == {"cannot tell"}:
        return text("answer.cannot tell")
    for word, other in (("helped", "hurt"), ("hurt", "helped")):
        if word in words and other not in words:
            ratios = ", ".join(f"1:{e['ratio']}" for e in mixed if e["verdict"] == word)
            return text(f"answer.{word}", ratios=ratios, num=len(mixed))
    return text("answer.both")


def write_report(
    content: Content, figures: Mapping[str, Path], path: Path, *, notes: Sequence[str] = ()
) -> None:
    """Write one self-contained HTML page: answer, table, sentences, figures, how it was made.

    Args:
        content: ``Results.content``.
        figures: PNG files by caption.
        path: where to write.
        notes: what a reader must know about data and models (stand-ins, skipped files).

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    made = text("report.made", **{k: content[k] for k in ("profile", "data", "model", "generator")})
    pictures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(file.read_bytes()).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, file in figures.items()
    )
    page = _PAGE.format(
        title=html.escape(text("report.title")),
        answer=html.escape(verdict_sentence(content)),
        made=html.escape(made),
        sentences=_items(findings(content)),
        table=results_table(content).reset_index().to_html(index=False, border=0),
        pictures=pictures,
        heading=html.escape(text("report.notes")),
        remarks=_items(notes),
    )
    write_atomically(path, page.encode())


def _items(lines: Sequence[str]) -> str:
    return "".join(f"<li>{html.escape(line)}</li>" for line in lines)


_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #ccc }}
img {{ max-width: 100% }} figure {{ margin: 2rem 0 }} figcaption {{ color: #444 }}
.answer {{ font-size: 1.3rem; font-weight: 600 }}
</style></head><body>
<h1>{title}</h1><p class="answer">{answer}</p><p>{made}</p>
<ul>{sentences}</ul>{table}{pictures}
<h2>{heading}</h2><ul>{remarks}</ul>
</body></html>
"""
