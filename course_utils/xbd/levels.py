"""The damage levels of xBD, and the errors that say what is wrong with a file of it."""

from enum import IntEnum


class XbdError(ValueError):
    """A folder, label or image that is not what xBD's layout says."""


class XbdMissingError(XbdError, FileNotFoundError):
    """A folder, label or image that is not there at all."""


class DamageLevel(IntEnum):
    """The Joint Damage Scale, with the values that xBD's target images use.

    ``UNCLASSIFIED`` is no level between the others: nobody could tell (clouds, shadow, a blurred
    image). It is 255, a value that no loss or score takes for a class by accident; other code
    writes 0, 1 or 5 for it.

    Source: Gupta et al. 2019, arXiv 1911.09296, the Joint Damage Scale.
    """

    NO_DAMAGE = 1
    MINOR = 2
    MAJOR = 3
    DESTROYED = 4
    UNCLASSIFIED = 255

    @property
    def subtype(self) -> str:
        """Give the level's name in the label files, such as "minor-damage"."""
        return _SUBTYPES[self]

    @classmethod
    def from_subtype(cls, subtype: object) -> "DamageLevel":
        """Turn a name of the label files into a level.

        Raises:
            XbdError: anything else; other spellings are not guessed at.
        """
        level = _LEVELS.get(subtype) if isinstance(subtype, str) else None
        if level is None:
            raise XbdError(f"expected a subtype among {', '.join(_LEVELS)}, got {subtype!r}")
        return level


_SUBTYPES = {
    DamageLevel.NO_DAMAGE: "no-damage",
    DamageLevel.MINOR: "minor-damage",
    DamageLevel.MAJOR: "major-damage",
    DamageLevel.DESTROYED: "destroyed",
    DamageLevel.UNCLASSIFIED: "un-classified",
}
_LEVELS = {subtype: level for level, subtype in _SUBTYPES.items()}
