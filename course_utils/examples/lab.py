"""The images of the final lab: EuroSAT, disasters before and after, or a folder of yours."""

from dataclasses import replace
from pathlib import Path

from course_utils.examples.disasters import load_disasters
from course_utils.examples.folders import Progress
from course_utils.examples.loading import load_examples
from course_utils.examples.records import Splits
from course_utils.examples.worlds import render_part
from course_utils.runtime import DISASTERS, Profile, resolve_path
from course_utils.texts import text


def load_lab(
    profile: Profile,
    *,
    data: str | Path | None = None,
    xbd: Path | None = None,
    cache: Path | None = None,
    progress: Progress = lambda items, total: items,
) -> Splits:
    """Load the three parts of the final lab's data set.

    Args:
        profile: decides how many images there are; of EuroSAT those that ship in ``mini``, else
            all that no generator of the course was trained on.
        data: None for EuroSAT; ``disasters`` for the six types of xBD, whose training images also
            bring the place ``before``; anything else is the ``root`` of `load_examples`.
        xbd: the folder of the real xBD, for the disasters; without it, or where it has too few
            types and events, they are rendered.
        cache: where renders and crops are kept, and archives unpacked; None makes them anew.
        progress: wraps the loop over images, given their number; ``tqdm`` fits.

    Raises:
        ValueError: the data are not usable; see `load_examples`.

    Source:
        EuroSAT: Helber et al. 2019 (arXiv:1709.00029). xBD: Gupta et al. 2019 (arXiv:1911.09296).
    """
    kept = {"cache": cache, "progress": progress}
    if data != DISASTERS or resolve_path(data).is_dir():
        return load_examples("scenes", profile=profile, root=data or "eurosat", **kept)
    real = load_disasters(xbd, profile=profile, **kept) if xbd else None
    if real:
        return real
    after = load_examples(DISASTERS, profile=profile, **kept)
    num = len(after.train) // len(after.class_names)
    before, _ = render_part(after.class_names, "train", num, post=False, **kept)
    pairs = zip(after.train, before, strict=True)
    train = tuple(replace(post, before=pre) for post, pre in pairs)
    notes = (text("data.xbd_too_few", folder=xbd.name),) if xbd else ()
    return replace(after, train=train, notes=(*notes, *after.notes))
