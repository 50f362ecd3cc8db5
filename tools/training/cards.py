"""Model cards: the texts of ``tools/cards``, filled with what decided a run and was measured."""

from tools.training.options import REPO

UC_MERCED = """\
For research and teaching. UC Merced Land Use: Yang and Newsam 2010, public-domain USGS imagery,
"meant for research purposes"."""
TRAINED = """\
`python -m tools.train_{kind}`, {metrics[steps]} steps of {run[batch]} in
{metrics[minutes]:.0f} minutes (seed {run[seed]}, learning rate {run[learning_rate]}, AdamW,
averaged weights) on {run[machine]}, torch {run[torch]}."""


def card(kind: str, metrics: dict, *, header: tuple[str, str], **fields: object) -> str:
    """Compose a model's card from its metrics, shown under ``header``, and further fields."""
    run = metrics["provenance"]
    files = [f"  - `{f}` (SHA-256 {digest})" for f, digest in run["files"].items()]
    held = [f"{num} of {source}" for source, num in run["num_validation"].items()]
    common = {
        "run": run,
        "metrics": metrics,
        "files": "\n".join(files),
        "styles": ", ".join(run["styles"]),
        "held": ", ".join(held),
        "trained": TRAINED.format(kind=kind, metrics=metrics, run=run),
        "table": table(metrics["validation"], header),
        "uc_merced": UC_MERCED,
    }
    return fill(kind, **{**common, **fields})


def fill(kind: str, **fields: object) -> str:
    """Fill in a text."""
    text = (REPO / "tools" / "cards" / f"{kind}.md").read_text(encoding="utf-8")
    return text.format(**fields)


def table(numbers: dict[str, object], header: tuple[str, str]) -> str:
    """Format measured numbers as a Markdown table."""
    lines = [f"| {header[0]} | {header[1]} |", "| --- | ---: |"]
    for name, value in numbers.items():
        lines.append(f"| {name} | {f'{value:.3f}' if isinstance(value, float) else value} |")
    return "\n".join(lines)
