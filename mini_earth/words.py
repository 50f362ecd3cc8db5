"""The words of the world's captions, in English and Chinese."""

from collections.abc import Sequence

import numpy as np

# The words of RESISC45 and of EuroSAT for the same ground, so that text can reach both.
SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "airport": ("an airport", "an airport with a terminal", "parked planes at an airport"),
    "beach": ("a beach", "a sandy beach beside the sea", "a coast with sea water"),
    "bridge": ("a bridge", "a bridge over a river", "a road bridge above water"),
    "chaparral": ("chaparral", "brushland or shrubland", "herbaceous vegetation"),
    "circular_farmland": ("circular farmland", "irrigated circular fields", "annual crop land"),
    "dense_residential": ("a dense residential area", "residential buildings", "many houses"),
    "desert": ("a desert", "bare sand dunes", "bare desert land"),
    "forest": ("a forest", "dense green trees", "a forest canopy"),
    "freeway": ("a freeway", "a highway or road", "a highway"),
    "harbor": ("a harbor", "boats at the piers of a harbor", "a marina with many boats"),
    "industrial_area": ("an industrial area", "industrial buildings", "large factory roofs"),
    "lake": ("a lake", "a sea or lake", "a body of water"),
    "meadow": ("a meadow", "pasture land", "a green pasture"),
    "medium_residential": ("a medium residential area", "a suburb", "houses with gardens"),
    "mountain": ("a mountain", "mountain ridges", "steep rocky slopes"),
    "orchard": ("an orchard", "permanent crop land", "rows of fruit trees"),
    "parking_lot": ("a parking lot", "parked cars in rows", "a car park"),
    "rectangular_farmland": ("rectangular farmland", "annual crop land", "ploughed crop fields"),
    "river": ("a river", "a winding river", "a river through open land"),
    "runway": ("a runway", "an airport runway with markings", "a landing strip"),
    "sparse_residential": ("a sparse residential area", "a few houses", "scattered houses"),
    "storage_tank": ("storage tanks", "round storage tanks", "a tank farm"),
}
SCENE_PHRASES_ZH: dict[str, tuple[str, ...]] = {
    "airport": ("机场", "有航站楼的机场"),
    "beach": ("海滩", "海边的沙滩"),
    "bridge": ("桥梁", "河上的公路桥"),
    "chaparral": ("灌木丛", "稀疏的灌木地"),
    "circular_farmland": ("圆形农田", "圆形灌溉农田"),
    "dense_residential": ("密集住宅区", "房屋密集的居民区"),
    "desert": ("沙漠", "裸露的沙丘"),
    "forest": ("森林", "茂密的树林"),
    "freeway": ("高速公路", "公路"),
    "harbor": ("港口", "停泊着许多小船的码头"),
    "industrial_area": ("工业区", "大片厂房"),
    "lake": ("湖泊", "一片湖水"),
    "meadow": ("草地", "绿色的牧场"),
    "medium_residential": ("中等密度住宅区", "带花园的住宅"),
    "mountain": ("山地", "陡峭的山脊"),
    "orchard": ("果园", "成行的果树"),
    "parking_lot": ("停车场", "成排停放的汽车"),
    "rectangular_farmland": ("矩形农田", "耕作过的农田"),
    "river": ("河流", "蜿蜒的河流"),
    "runway": ("机场跑道", "有标线的跑道"),
    "sparse_residential": ("稀疏住宅区", "零星分布的房屋"),
    "storage_tank": ("储罐", "圆形储油罐"),
}
DISASTER_PHRASES: dict[str, tuple[str, ...]] = {
    "earthquake": ("an earthquake", "a strong earthquake"),
    "flooding": ("flooding", "a flood"),
    "tsunami": ("a tsunami", "a tsunami wave"),
    "volcano": ("a volcano", "a volcanic eruption"),
    "wildfire": ("a wildfire", "a bush fire"),
    "wind": ("wind", "a hurricane with strong wind", "a tornado"),
}
DISASTER_PHRASES_ZH: dict[str, tuple[str, ...]] = {
    "earthquake": ("地震", "强烈地震"),
    "flooding": ("洪水", "洪涝"),
    "tsunami": ("海啸",),
    "volcano": ("火山喷发",),
    "wildfire": ("野火", "森林火灾"),
    "wind": ("大风", "龙卷风", "飓风"),
}
AFTERMATHS: dict[str, tuple[str, ...]] = {
    "earthquake": ("collapsed buildings and rubble", "houses reduced to rubble"),
    "flooding": ("houses surrounded by flood water", "streets under muddy water"),
    "tsunami": ("mud and debris behind the coast", "houses swept away by the sea"),
    "volcano": ("dark lava and grey ash", "houses buried under volcanic ash"),
    "wildfire": ("burnt ground and burnt houses", "black burn scars and ash"),
    "wind": ("roofs torn off and scattered debris", "damaged roofs and splinters"),
}
AFTERMATHS_ZH: dict[str, str] = {
    "earthquake": "房屋倒塌，满地瓦砾",
    "flooding": "房屋被洪水包围",
    "tsunami": "海岸后方布满淤泥和残骸",
    "volcano": "熔岩和火山灰覆盖地面",
    "wildfire": "地面和房屋被烧焦",
    "wind": "屋顶被掀开，碎片散落",
}
SENSORS: dict[str, tuple[str, ...]] = {
    "airborne": ("an aerial photo", "an aerial image"),
    "satellite": ("a satellite image", "a satellite photo"),
    "smallsat": ("a satellite image", "a small satellite's image"),
}
SENSORS_ZH = {"airborne": "航拍影像", "satellite": "卫星影像", "smallsat": "小卫星影像"}
REGIONS_ZH = {
    "temperate": "温带",
    "mediterranean": "地中海气候区",
    "tropical": "热带",
    "arid": "干旱区",
}
SEASONS_ZH = {"winter": "冬季", "spring": "春季", "summer": "夏季", "autumn": "秋季"}

# Directions in an image, counterclockwise from the right: eight lines, and eight sides.
LINES: tuple[str, ...] = (
    "from left to right",
    "gently rising to the right",
    "from the lower left to the upper right",
    "steeply rising to the right",
    "from top to bottom",
    "steeply falling to the right",
    "from the upper left to the lower right",
    "gently falling to the right",
)
SIDES: tuple[str, ...] = (
    "the right",
    "the upper right",
    "the top",
    "the upper left",
    "the left",
    "the lower left",
    "the bottom",
    "the lower right",
)
# Named colors in [0, 1], as land and roofs have them: pale and close to gray.
COLORS: dict[str, tuple[float, float, float]] = {
    "white": (0.88, 0.88, 0.87),
    "light gray": (0.70, 0.70, 0.69),
    "gray": (0.50, 0.50, 0.50),
    "dark gray": (0.30, 0.30, 0.31),
    "black": (0.10, 0.10, 0.11),
    "beige": (0.74, 0.67, 0.55),
    "tan": (0.62, 0.52, 0.38),
    "brown": (0.43, 0.33, 0.24),
    "reddish brown": (0.52, 0.31, 0.24),
    "red": (0.66, 0.36, 0.28),
    "orange": (0.74, 0.50, 0.32),
    "yellow": (0.74, 0.68, 0.40),
    "light green": (0.50, 0.58, 0.34),
    "green": (0.34, 0.43, 0.22),
    "dark green": (0.17, 0.24, 0.13),
    "turquoise": (0.25, 0.52, 0.54),
    "blue": (0.26, 0.38, 0.56),
    "dark blue": (0.10, 0.17, 0.26),
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def color(rgb: Sequence[float] | np.ndarray) -> str:
    """Name the nearest color of ``COLORS``, hue weighing more than brightness; rgb in [0, 1]."""

    def apart(values: Sequence | np.ndarray) -> np.ndarray:
        red, green, blue = np.moveaxis(np.asarray(values, float), -1, 0)
        gray = (red + green + blue) / 3
        return np.stack([gray, 2 * (red - green), 2 * (green - blue)], axis=-1)

    distance = np.square(apart(np.array(list(COLORS.values()))) - apart(rgb)).sum(axis=-1)
    return list(COLORS)[int(distance.argmin())]


def number(count: int) -> str:
    """Say a count as people do who look: exactly up to nine, roughly beyond."""
    if count < 10:
        return NUMBERS[count]
    for limit, name in ((15, "about a dozen"), (30, "about twenty"), (70, "about fifty")):
        if count < limit:
            return name
    return "a hundred or more" if count < 200 else "hundreds of"
