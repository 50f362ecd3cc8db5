"""Pictures of strategies: what is kept stands above what is dropped, pairs stay pairs."""

import numpy as np
import pytest

from course_utils.plots import figure_bytes, show_before_after, show_kept


def pictures(num: int) -> list[np.ndarray]:
    return [np.full((8, 8, 3), i, dtype=np.uint8) for i in range(num)]


def drawn(fig) -> list[list[int]]:
    """Read the first pixel of each image, in the order of axes."""
    return [int(ax.images[0].get_array()[0, 0, 0]) for ax in fig.axes if ax.images]


def words(fig) -> str:
    return " ".join(ax.get_ylabel() for ax in fig.axes)


def test_kept_images_come_first_and_the_most_confident_first_of_each():
    confidences = [0.3, 0.9, 0.1, 0.6]
    fig = show_kept(pictures(4), confidences, [0, 3], titles=["river"] * 4, caption="A filter.")
    assert drawn(fig) == [3, 0, 1, 2]
    assert [ax.get_xlabel() for ax in fig.axes if ax.images] == ["0.60", "0.30", "0.90", "0.10"]
    assert "kept: 2 of 4" in words(fig)
    assert "dropped: 2 of 4" in words(fig)
    assert figure_bytes(fig)[:4] == b"\x89PNG"


@pytest.mark.parametrize(("kept", "missing"), [([], "kept"), (range(4), "dropped")])
def test_a_filter_that_keeps_all_or_nothing_shows_the_other_half_only(kept, missing):
    fig = show_kept(pictures(4), [0.1, 0.2, 0.3, 0.4], kept)
    assert missing not in words(fig)
    assert len(drawn(fig)) == 4


def test_of_many_images_some_are_shown_and_all_are_counted():
    fig = show_kept(pictures(100), np.linspace(0, 1, 100).tolist(), range(50, 100), most=5)
    assert drawn(fig) == [99, 87, 75, 62, 50, 49, 37, 25, 12, 0]
    assert "kept: 50 of 100" in words(fig)


@pytest.mark.parametrize("confidences", [[0.1], [0.1, np.nan]])
def test_a_confidence_is_needed_for_each(confidences):
    with pytest.raises(ValueError, match=r"confidences"):
        show_kept(pictures(2), confidences, [0])


def test_pairs_stand_one_above_the_other_in_blocks():
    fig = show_before_after(
        pictures(12),
        [picture + 100 for picture in pictures(12)],
        row_labels=("real shot", "drawn from it"),
        titles=["river"] * 12,
    )
    first, rest = [*range(10), *range(100, 110)], [10, 11, 110, 111]
    assert drawn(fig) == first + rest
    assert words(fig).count("drawn from it") == 2


def test_half_a_pair_is_refused():
    with pytest.raises(ValueError, match="before"):
        show_before_after(pictures(2), pictures(1), row_labels=("a", "b"))


def test_a_confidence_just_below_nought_has_no_sign():
    fig = show_kept(pictures(2), [-0.001, -0.01], [0])
    assert [ax.get_xlabel() for ax in fig.axes if ax.images] == ["0.00", "-0.01"]
