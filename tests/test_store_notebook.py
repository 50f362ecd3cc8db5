"""The stored form of a notebook: small pictures, no widgets, all else as it was."""

import base64
import io
import json

import numpy as np
from PIL import Image

from tools import store_notebook

RANDOM = np.random.default_rng(0)


def picture(pixels: np.ndarray, dpi: int = 180) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", dpi=(dpi, dpi))
    return base64.b64encode(buffer.getvalue()).decode()


def test_pictures_are_smaller_and_look_the_same_and_widgets_are_gone(tmp_path):
    smooth = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (300, 1, 3))
    flat = np.full((300, 400, 3), 255, np.uint8)
    flat[100:200] = (0, 114, 178)
    outputs = [
        {"output_type": "display_data", "data": {"image/png": picture(smooth)}, "metadata": {}},
        {"output_type": "display_data", "data": {"image/png": picture(flat)}, "metadata": {}},
        {"output_type": "display_data", "data": {store_notebook.WIDGET: {}, "text/plain": "x"}},
        {"output_type": "stream", "name": "stdout", "text": "said\n"},
    ]
    cells = [
        {"cell_type": "code", "metadata": {"execution": {}, "tags": ["core"]}, "outputs": outputs},
        {"cell_type": "markdown", "metadata": {}, "source": ["ä"]},
    ]
    nb = {"cells": cells, "metadata": {"widgets": {}}, "nbformat": 4, "nbformat_minor": 5}
    path, target = tmp_path / "run.ipynb", tmp_path / "stored.ipynb"
    path.write_text(json.dumps(nb), encoding="utf-8")
    size = store_notebook.store(path, target)
    stored = json.loads(target.read_text(encoding="utf-8"))
    assert size == target.stat().st_size < path.stat().st_size
    assert stored["metadata"] == {}
    assert stored["cells"][1] == cells[1]
    code = stored["cells"][0]
    assert code["metadata"] == {"tags": ["core"]}
    assert [output["output_type"] for output in code["outputs"]] == [
        *["display_data"] * 2,
        "stream",
    ]
    for before, output in zip((smooth, flat), code["outputs"], strict=False):
        ((_, data),) = output["data"].items()
        after = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        assert after.shape == (150, 200, 3)  # 180 to 90 dots per inch
        assert np.abs(after.astype(int) - before[::2, ::2]).mean() < 3


def test_the_smaller_format_is_taken():
    noise = RANDOM.integers(0, 256, (90, 90, 3), dtype=np.uint8)
    flat = np.full((90, 90, 3), 200, np.uint8)
    kinds = [store_notebook.shrink(base64.b64decode(picture(p)))[0] for p in (noise, flat)]
    assert kinds == ["image/jpeg", "image/png"]
