"""Store an executed notebook in the form that is committed: once executed, small, without widgets.

    python -m tools.store_notebook outputs/final_lab/final_lab.ipynb notebooks/07_final_lab.ipynb

Live figures are made for a projector. Here each is brought to 90 dots per inch and kept as palette
PNG or as JPEG of quality 80, whichever is smaller. Nothing else of an output changes.
"""

import argparse
import base64
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

DPI = 90
LIVE_DPI = 110  # of a figure that does not say
QUALITY = 80
WIDGET = "application/vnd.jupyter.widget-view+json"


def store(executed: Path, target: Path) -> int:
    """Write the stored form of a notebook; give its size in bytes."""
    nb = json.loads(executed.read_text(encoding="utf-8"))
    nb["metadata"].pop("widgets", None)
    for cell in nb["cells"]:
        cell["metadata"].pop("execution", None)
        if cell["cell_type"] == "code":
            cell["outputs"] = list(kept(cell["outputs"]))
    text = json.dumps(nb, indent=1, ensure_ascii=False) + "\n"
    target.write_text(text, encoding="utf-8", newline="\n")
    return len(text.encode())


def kept(outputs: Sequence[dict]) -> Iterator[dict]:
    """Go through the outputs of a cell: widgets are left out, pictures made smaller."""
    for output in outputs:
        data = output.get("data", {})
        if WIDGET in data:
            continue
        if "image/png" in data:
            kind, picture = shrink(base64.b64decode(data.pop("image/png")))
            data[kind] = base64.b64encode(picture).decode()
        yield output


def shrink(png: bytes) -> tuple[str, bytes]:
    """Bring a picture to ``DPI``; give its kind and content in the smaller of two formats."""
    image = Image.open(io.BytesIO(png))
    scale = min(1.0, DPI / image.info.get("dpi", (LIVE_DPI,))[0])
    size = tuple(max(1, round(side * scale)) for side in image.size)
    image = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    palette, jpeg = io.BytesIO(), io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(palette, "PNG", optimize=True)
    image.save(jpeg, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    kinds = (("image/png", palette.getvalue()), ("image/jpeg", jpeg.getvalue()))
    return min(kinds, key=lambda kind: len(kind[1]))


def main() -> None:
    """Read the command line and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("executed", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    print(f"{args.target.name}: {store(args.executed, args.target) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
