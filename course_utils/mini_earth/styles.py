"""Region-and-sensor styles: what the land is made of and how the camera sees it."""

from dataclasses import dataclass

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """Colors in [0, 1] before the sensor, and the sensor itself.

    ``gain`` and ``haze`` act per channel, ``saturation`` and ``contrast`` around gray,
    ``blur`` is the Gaussian's standard deviation in output pixels and ``noise`` that of the
    added noise in [0, 1] units. ``region`` and ``sensor`` are the words used in captions.
    """

    name: str
    region: str
    sensor: str
    vegetation: tuple[Color, ...]
    soil: tuple[Color, ...]
    crops: tuple[Color, ...]
    water: tuple[Color, ...]
    roofs: tuple[Color, ...]
    road: Color
    house_meters: tuple[float, float]
    lot_meters: tuple[float, float]
    gain: Color
    haze_color: Color
    haze: tuple[float, float]
    saturation: float
    contrast: float
    blur: float
    noise: float


_TEMPERATE = Style(
    name="temperate_airborne",
    region="temperate",
    sensor="an aerial photo",
    vegetation=((0.22, 0.33, 0.15), (0.30, 0.42, 0.20), (0.38, 0.46, 0.25), (0.42, 0.40, 0.26)),
    soil=((0.52, 0.45, 0.36), (0.44, 0.38, 0.30), (0.58, 0.54, 0.46)),
    crops=((0.33, 0.47, 0.20), (0.66, 0.60, 0.35), (0.47, 0.38, 0.27), (0.55, 0.62, 0.33)),
    water=((0.13, 0.21, 0.24), (0.20, 0.27, 0.24), (0.10, 0.18, 0.28)),
    roofs=((0.45, 0.28, 0.23), (0.38, 0.37, 0.38), (0.56, 0.52, 0.49), (0.30, 0.28, 0.29)),
    road=(0.47, 0.47, 0.48),
    house_meters=(9.0, 15.0),
    lot_meters=(17.0, 27.0),
    gain=(1.02, 1.0, 0.97),
    haze_color=(0.75, 0.80, 0.86),
    haze=(0.0, 0.10),
    saturation=1.10,
    contrast=1.12,
    blur=0.35,
    noise=0.012,
)
_MEDITERRANEAN = Style(
    name="mediterranean_satellite",
    region="mediterranean",
    sensor="a satellite image",
    vegetation=((0.25, 0.30, 0.17), (0.36, 0.38, 0.23), (0.45, 0.43, 0.28), (0.30, 0.36, 0.22)),
    soil=((0.68, 0.58, 0.44), (0.60, 0.47, 0.34), (0.74, 0.66, 0.54)),
    crops=((0.42, 0.45, 0.24), (0.73, 0.64, 0.42), (0.58, 0.42, 0.29), (0.34, 0.42, 0.24)),
    water=((0.08, 0.26, 0.36), (0.14, 0.32, 0.36), (0.10, 0.22, 0.30)),
    roofs=((0.70, 0.42, 0.30), (0.78, 0.72, 0.64), (0.62, 0.37, 0.27), (0.85, 0.82, 0.77)),
    road=(0.60, 0.58, 0.55),
    house_meters=(8.0, 14.0),
    lot_meters=(13.0, 21.0),
    gain=(1.04, 0.99, 0.93),
    haze_color=(0.80, 0.80, 0.80),
    haze=(0.02, 0.16),
    saturation=0.95,
    contrast=1.02,
    blur=0.55,
    noise=0.018,
)
_TROPICAL = Style(
    name="tropical_satellite",
    region="tropical",
    sensor="a satellite photo",
    vegetation=((0.13, 0.29, 0.12), (0.20, 0.38, 0.15), (0.29, 0.45, 0.19), (0.24, 0.33, 0.19)),
    soil=((0.60, 0.40, 0.28), (0.52, 0.37, 0.28), (0.66, 0.55, 0.43)),
    crops=((0.26, 0.46, 0.17), (0.45, 0.55, 0.25), (0.55, 0.41, 0.28), (0.62, 0.58, 0.33)),
    water=((0.24, 0.29, 0.22), (0.10, 0.33, 0.36), (0.31, 0.29, 0.21)),
    roofs=((0.62, 0.60, 0.58), (0.48, 0.30, 0.22), (0.35, 0.44, 0.53), (0.72, 0.70, 0.67)),
    road=(0.55, 0.50, 0.45),
    house_meters=(7.0, 12.0),
    lot_meters=(11.0, 18.0),
    gain=(0.94, 1.02, 1.0),
    haze_color=(0.82, 0.86, 0.90),
    haze=(0.05, 0.24),
    saturation=1.05,
    contrast=0.97,
    blur=0.60,
    noise=0.020,
)
# Hazier, grayer and blurrier than the others, and its clay houses hardly differ from the ground:
# a model that knows the other styles still has something to learn here.
_ARID = Style(
    name="arid_satellite",
    region="arid",
    sensor="a satellite image",
    vegetation=((0.42, 0.40, 0.28), (0.48, 0.45, 0.32), (0.55, 0.50, 0.37), (0.50, 0.44, 0.33)),
    soil=((0.70, 0.62, 0.50), (0.64, 0.55, 0.44), (0.76, 0.70, 0.60)),
    crops=((0.50, 0.50, 0.32), (0.70, 0.62, 0.46), (0.58, 0.48, 0.38), (0.60, 0.58, 0.42)),
    water=((0.17, 0.24, 0.28), (0.25, 0.29, 0.26), (0.13, 0.20, 0.25)),
    roofs=((0.66, 0.58, 0.48), (0.60, 0.53, 0.45), (0.74, 0.68, 0.58), (0.55, 0.50, 0.45)),
    road=(0.62, 0.57, 0.50),
    house_meters=(6.0, 12.0),
    lot_meters=(9.0, 15.0),
    gain=(0.97, 1.0, 1.07),
    haze_color=(0.74, 0.79, 0.87),
    haze=(0.12, 0.40),
    saturation=0.35,
    contrast=0.85,
    blur=0.95,
    noise=0.035,
)

STYLES: dict[str, Style] = {
    style.name: style for style in (_TEMPERATE, _MEDITERRANEAN, _TROPICAL, _ARID)
}
TRAIN_STYLES: tuple[str, ...] = (
    "temperate_airborne",
    "mediterranean_satellite",
    "tropical_satellite",
)
TEST_STYLE: str = "arid_satellite"
