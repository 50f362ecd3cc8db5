"""Render environment.yml, for those who use conda, from requirements.txt.

Run ``python tools/render_environment.py`` after every change of requirements.txt.
"""

from pathlib import Path

REPO = Path(__file__).resolve().parents[1]

HEADER = """\
# Rendered from requirements.txt by tools/render_environment.py: change that file, not this one.
name: course
channels:
  - conda-forge
dependencies:
  - python>=3.11
  - pip
  - pip:
"""


def parse_requirements(text: str) -> list[str]:
    """List the requirements of a requirements file, without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def render(requirements: str) -> str:
    """Render the conda environment for the text of a requirements file.

    Everything comes by pip, torch and torchvision together, so that they are a matching pair.
    """
    return HEADER + "".join(f'      - "{item}"\n' for item in parse_requirements(requirements))


def main() -> None:
    """Rewrite environment.yml."""
    requirements = (REPO / "requirements.txt").read_text(encoding="utf-8")
    (REPO / "environment.yml").write_text(render(requirements), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
