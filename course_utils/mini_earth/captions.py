"""Say in English what a view shows, in several phrasings."""

import numpy as np

from course_utils.mini_earth.scene import Scene

# The words of RESISC45 and of EuroSAT for the same ground, so that text can reach both.
SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "beach": ("a beach", "a sandy beach beside the sea", "a coast with sea water"),
    "chaparral": ("chaparral", "brushland or shrubland", "herbaceous vegetation"),
    "circular_farmland": ("circular farmland", "irrigated circular fields", "annual crop land"),
    "dense_residential": ("a dense residential area", "residential buildings", "many houses"),
    "desert": ("a desert", "bare sand dunes", "bare desert land"),
    "forest": ("a forest", "dense green trees", "a forest canopy"),
    "freeway": ("a freeway", "a highway or road", "a highway"),
    "industrial_area": ("an industrial area", "industrial buildings", "large factory roofs"),
    "lake": ("a lake", "a sea or lake", "a body of water"),
    "meadow": ("a meadow", "pasture land", "a green pasture"),
    "orchard": ("an orchard", "permanent crop land", "rows of fruit trees"),
    "rectangular_farmland": ("rectangular farmland", "annual crop land", "ploughed crop fields"),
    "river": ("a river", "a winding river", "a river through open land"),
    "sparse_residential": ("a sparse residential area", "a few houses", "scattered houses"),
}
DISASTER_PHRASES: dict[str, tuple[str, ...]] = {
    "earthquake": ("an earthquake", "a strong earthquake"),
    "flooding": ("flooding", "a flood"),
    "tsunami": ("a tsunami", "a tsunami wave"),
    "volcano": ("a volcano", "a volcanic eruption"),
    "wildfire": ("a wildfire", "a bush fire"),
    "wind": ("wind", "a hurricane with strong wind", "a tornado"),
}
_AFTERMATHS: dict[str, tuple[str, ...]] = {
    "earthquake": ("collapsed buildings and rubble", "houses reduced to rubble"),
    "flooding": ("houses surrounded by flood water", "streets under muddy water"),
    "tsunami": ("mud and debris behind the coast", "houses swept away by the sea"),
    "volcano": ("dark lava and grey ash", "houses buried under volcanic ash"),
    "wildfire": ("burnt ground and burnt houses", "black burn scars and ash"),
    "wind": ("roofs torn off and scattered debris", "damaged roofs and splinters"),
}
_FRAMES = ("{}", "{sensor} of {}", "{} seen from above", "an overhead view of {}")
_SEASONS = ("green season", "early autumn", "dry season")


def describe(scene: Scene, rng: np.random.Generator, *, post: bool, dryness: float) -> str:
    """Compose one caption; style and season words come in about half of them."""
    place = _pick(rng, SCENE_PHRASES[scene.scene_class])
    if scene.disaster and post:
        event = _pick(rng, DISASTER_PHRASES[scene.disaster])
        after = _pick(rng, _AFTERMATHS[scene.disaster])
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
    else:
        said = place
    frame = _pick(rng, _FRAMES).replace("{sensor}", scene.style.sensor)
    caption = frame.format(said)
    if rng.uniform() < 0.3:
        caption += f" in a {scene.style.region} region"
    if rng.uniform() < 0.15:
        caption += f", {_SEASONS[min(2, int(3 * dryness))]}"
    return caption


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
