"""What model cards say in the same words; every number comes from the run."""

UC_MERCED_LICENCE = """\
For research and teaching. UC Merced Land Use: Yang and Newsam 2010, public-domain USGS imagery,
"meant for research purposes"."""


def file_lines(run: dict) -> str:
    """List the files that a model has seen."""
    return "\n".join(f"  - `{f}` (SHA-256 {digest})" for f, digest in run["files"].items())


def render_line(run: dict, *, more: str = "") -> str:
    """Say how many renders a model has seen, and of which world."""
    return f"""\
- {run["renders"]} renders of `mini_earth` in the styles {", ".join(run["styles"])}{more}
  (world version {run["mini_earth"]})."""


def training_lines(script: str, metrics: dict) -> str:
    """Say with which command, for how long and on what a model was trained."""
    run = metrics["provenance"]
    return f"""`python -m tools.{script}`, {metrics["steps"]} steps of {run["batch"]} in
{metrics["minutes"]:.0f} minutes (seed {run["seed"]}, learning rate {run["learning_rate"]}, AdamW,
averaged weights) on {run["machine"]}, torch {run["torch"]}."""


def held_words(run: dict) -> str:
    """Say how many images of each source were set aside."""
    return ", ".join(f"{num} of {source}" for source, num in run["num_validation"].items())


def table(numbers: dict[str, object], header: tuple[str, str]) -> str:
    """Format measured numbers as a Markdown table."""
    lines = [f"| {header[0]} | {header[1]} |", "| --- | ---: |"]
    for name, value in numbers.items():
        lines.append(f"| {name} | {f'{value:.3f}' if isinstance(value, float) else value} |")
    return "\n".join(lines)
