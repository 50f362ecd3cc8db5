"""Say what a view shows, in several phrasings and two languages."""

import numpy as np

from mini_earth import words
from mini_earth.camera import Moment
from mini_earth.scene import Scene

_FRAMES = ("{}", "{sensor} of {}", "{} seen from above", "an overhead view of {}")


def describe(
    scene: Scene, moment: Moment, rng: np.random.Generator, *, post: bool, num: int = 3
) -> tuple[str, ...]:
    """Compose ``num`` English captions; region and season words come in some of them."""
    return tuple(_english(scene, moment, rng, post=post) for _ in range(num))


def describe_zh(
    scene: Scene, moment: Moment, rng: np.random.Generator, *, post: bool, num: int = 2
) -> tuple[str, ...]:
    """Compose ``num`` Chinese captions of the same view."""
    return tuple(_chinese(scene, moment, rng, post=post) for _ in range(num))


def _english(scene: Scene, moment: Moment, rng: np.random.Generator, *, post: bool) -> str:
    place = _pick(rng, words.SCENE_PHRASES[scene.scene_class])
    said = place
    if scene.disaster and post:
        event = _pick(rng, words.DISASTER_PHRASES[scene.disaster])
        after = _pick(rng, words.AFTERMATHS[scene.disaster])
        said = _pick(
            rng,
            (
                f"{place} after {event}",
                f"a place damaged by {event}",
                f"{after} after {event}",
                f"{place} damaged by {event} with {after}",
            ),
        )
    elif scene.disaster:
        said = _pick(rng, (f"{place} before a disaster", f"{place} without damage", place))
    sensor = _pick(rng, words.SENSORS[scene.style.sensor.name])
    caption = _pick(rng, _FRAMES).replace("{sensor}", sensor).format(said)
    if rng.uniform() < 0.3:
        region = scene.style.region.name
        caption += f" in {'an' if region[0] in 'aeiou' else 'a'} {region} region"
    if rng.uniform() < 0.2:
        caption += f", {moment.season}"
    return caption + (" with snow" if moment.snow > 0.5 and rng.uniform() < 0.7 else "")


def _chinese(scene: Scene, moment: Moment, rng: np.random.Generator, *, post: bool) -> str:
    place = _pick(rng, words.SCENE_PHRASES_ZH[scene.scene_class])
    said = place
    if scene.disaster and post:
        event = _pick(rng, words.DISASTER_PHRASES_ZH[scene.disaster])
        after = words.AFTERMATHS_ZH[scene.disaster]
        said = _pick(rng, (f"{event}之后的{place}", f"遭受{event}的{place}，{after}"))
    elif scene.disaster:
        said = f"灾前的{place}"
    if rng.uniform() < 0.3:
        said = (
            f"{words.REGIONS_ZH[scene.style.region.name]}{words.SEASONS_ZH[moment.season]}，{said}"
        )
    sensor = words.SENSORS_ZH[scene.style.sensor.name]
    return _pick(rng, (f"{sensor}：{said}", said, f"从空中俯瞰：{said}"))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
