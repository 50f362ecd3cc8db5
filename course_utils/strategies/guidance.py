"""Draw from real images instead of from noise: from the shots, or from before the disaster."""

import numpy as np

from course_utils.diffusion.inputs import check_number

# Of 100 steps, how many are noised and drawn anew; by the number of real shots a class.
_STEPS_BY_SHOTS = {1: 50, 2: 40, 4: 35, 8: 20, 16: 15}


def strength_for(shots: int) -> float:
    """Say how far to noise a real shot: less, the more shots there are to vary.

    Between the published numbers of shots the strength is linear in their logarithm; beyond 16
    shots it stays.

    Args:
        shots: real images a class.

    Returns:
        Share of the way to pure noise: 0.5 for one shot, 0.15 for 16.

    Raises:
        ValueError: for fewer than one shot.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2, "real guidance"; the numbers are those of
        the authors' code.
    """
    check_number("shots", shots, "[1, inf)", whole=True)
    known = list(_STEPS_BY_SHOTS)
    return float(np.interp(np.log2(shots), np.log2(known), list(_STEPS_BY_SHOTS.values()))) / 100
