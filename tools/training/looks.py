"""Say what can be measured of a photograph: the direction of its edges, its colors, its texture.

The words are those of ``mini_earth``'s sights, so that a model reads one language for both.
"""

from collections import Counter

import numpy as np
from scipy import ndimage

from mini_earth import Sight
from mini_earth.words import color

LOOKS = b"1"  # which version of these words a cache holds; another one when they change
GRID = 8  # blocks along a side whose colors are named
COHERENCE = (0.12, 0.3)  # from weak to strong lines


def find_looks(image: np.ndarray) -> tuple[Sight, ...]:
    """List what is to be seen in a photograph (h, w, 3) in [0, 1], as it is turned."""
    gray = image.mean(axis=2)
    return (*_lines(gray), *_colors(image), *_texture(gray), *_contrast(gray), *_tone(gray))


def main_direction(gray: np.ndarray) -> tuple[float, float]:
    r"""Return the direction of edges in degrees, counterclockwise from the right, and its share.

    From the structure tensor $J = \sum \nabla g \nabla g^\top$ over the image: edges run across its
    first eigenvector, and the share is $(\lambda_1-\lambda_2)/(\lambda_1+\lambda_2)$.

    Source:
        Bigun and Granlund 1987, "Optimal orientation detection of linear symmetry".
    """
    smooth = ndimage.gaussian_filter(gray, 1.0)
    gy, gx = np.gradient(smooth)
    xx, yy, xy = (gx * gx).sum(), (gy * gy).sum(), (gx * gy).sum()
    total = xx + yy
    if total < 1e-9:
        return 0.0, 0.0
    across = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the gradient, y down
    share = np.hypot(xx - yy, 2 * xy) / total
    return float(-np.degrees(across) + 90) % 180, float(share)


def _lines(gray: np.ndarray) -> tuple[Sight, ...]:
    angle, share = main_direction(gray)
    if share < COHERENCE[0]:
        return (Sight("edges in all directions"),)
    how = "clear lines" if share > COHERENCE[1] else "faint lines"
    return (Sight(f"{how} run {{}}", angle, is_line=True),)


def _colors(image: np.ndarray) -> tuple[Sight, ...]:
    """Name the two commonest colors, and the side on which the second lies."""
    size = image.shape[0] // GRID
    blocks = image[: GRID * size, : GRID * size].reshape(GRID, size, GRID, size, 3).mean((1, 3))
    names = [color(block) for block in blocks.reshape(-1, 3)]
    common = Counter(names).most_common(2)
    first = common[0][0]
    if len(common) == 1 or common[1][1] < 6:
        return (Sight(f"nearly all {first}"),)
    second = common[1][0]
    y, x = np.divmod([i for i, name in enumerate(names) if name == second], GRID)
    x, y = x.mean() - (GRID - 1) / 2, y.mean() - (GRID - 1) / 2
    where = Sight(f"mostly {first} with {second}")
    if np.hypot(x, y) < 0.14 * GRID:
        return (where,)
    side = float(np.degrees(np.arctan2(-y, x)))
    return where, Sight(f"{second} at {{}}", side)


def _texture(gray: np.ndarray) -> tuple[Sight, ...]:
    """Say how much of the variance is finer than four pixels."""
    fine = gray - ndimage.gaussian_filter(gray, 2.0)
    share = fine.var() / max(gray.var(), 1e-6)
    names = ("smooth large areas", "soft texture", "mixed texture", "fine grainy texture")
    return (Sight(names[int(np.searchsorted((0.12, 0.3, 0.55), share))]),)


def _contrast(gray: np.ndarray) -> tuple[Sight, ...]:
    names = ("very even brightness", "low contrast", "medium contrast", "strong contrast")
    return (Sight(names[int(np.searchsorted((0.025, 0.06, 0.12), gray.std()))]),)


def _tone(gray: np.ndarray) -> tuple[Sight, ...]:
    """Say how bright the image is, and on which side it is brighter."""
    names = ("a dark image", "a medium bright image", "a bright image")
    tone = Sight(names[int(np.searchsorted((0.3, 0.45), gray.mean()))])
    x = np.linspace(-1, 1, gray.shape[1])
    slope = np.array([(gray * x).mean(), (gray * x[:, None]).mean()]) * 3
    if np.hypot(*slope) < 0.03:
        return (tone,)
    return tone, Sight("brighter at {}", float(np.degrees(np.arctan2(-slope[1], slope[0]))))
