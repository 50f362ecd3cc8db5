"""Regions, sensors and their combinations: what the land is made of and how a camera sees it."""

from dataclasses import dataclass

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Region:
    """A kind of land, with its colors in [0, 1] under full sun and its ways of building.

    ``vegetation`` runs from the darkest crowns to the lightest grass and ``dry`` is what it turns
    to without rain. ``roof_kinds`` are the shares of gable, hip and flat roofs, ``structures``
    those of wood, masonry and concrete. ``yard`` is the share of bare ground between houses,
    ``irregular`` in [0, 1] how freely they are placed. ``places`` are real positions in degrees
    (longitude, latitude) with such land.
    """

    name: str
    vegetation: tuple[Color, Color, Color, Color]
    dry: Color
    soil: tuple[Color, ...]
    crops: tuple[Color, ...]
    water: tuple[Color, ...]
    roofs: tuple[Color, ...]
    road: Color
    roof_kinds: tuple[float, float, float]
    structures: tuple[float, float, float]
    house_meters: tuple[float, float]
    lot_meters: tuple[float, float]
    yard: tuple[float, float]
    irregular: float
    snow_share: float
    places: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Sensor:
    """A camera: ``gain`` and ``haze`` act per channel, ``saturation`` and ``contrast`` around gray.

    ``blur`` is the Gaussian's standard deviation in output pixels, ``noise`` that of the added
    noise in [0, 1] units, ``off_nadir`` the largest angle of view in degrees.
    """

    name: str
    gain: Color
    haze_color: Color
    haze: tuple[float, float]
    saturation: float
    contrast: float
    blur: float
    noise: float
    off_nadir: float


@dataclass(frozen=True)
class Style:
    """A region seen by a sensor; ``name`` is ``<region>_<sensor>``."""

    name: str
    region: Region
    sensor: Sensor


REGIONS: tuple[Region, ...] = (
    Region(
        name="temperate",
        vegetation=((0.15, 0.22, 0.11), (0.22, 0.30, 0.15), (0.31, 0.38, 0.20), (0.38, 0.43, 0.25)),
        dry=(0.50, 0.45, 0.31),
        soil=((0.47, 0.41, 0.33), (0.40, 0.35, 0.28), (0.54, 0.49, 0.41)),
        crops=((0.30, 0.42, 0.18), (0.62, 0.56, 0.34), (0.42, 0.34, 0.25), (0.50, 0.54, 0.29)),
        water=((0.09, 0.15, 0.16), (0.15, 0.20, 0.17), (0.08, 0.14, 0.20)),
        roofs=((0.42, 0.27, 0.22), (0.35, 0.34, 0.35), (0.54, 0.50, 0.46), (0.27, 0.26, 0.27)),
        road=(0.45, 0.45, 0.46),
        roof_kinds=(0.6, 0.3, 0.1),
        structures=(0.6, 0.3, 0.1),
        house_meters=(9.0, 15.0),
        lot_meters=(16.0, 24.0),
        yard=(0.02, 0.25),
        irregular=0.15,
        snow_share=0.2,
        places=((-93.6, 41.6), (-79.0, 38.4), (4.9, 51.6), (11.6, 49.4), (143.2, -37.4)),
    ),
    Region(
        name="mediterranean",
        vegetation=((0.19, 0.22, 0.13), (0.28, 0.30, 0.19), (0.38, 0.37, 0.24), (0.46, 0.43, 0.29)),
        dry=(0.62, 0.54, 0.38),
        soil=((0.64, 0.55, 0.42), (0.57, 0.45, 0.33), (0.70, 0.63, 0.51)),
        crops=((0.38, 0.42, 0.22), (0.70, 0.61, 0.40), (0.54, 0.40, 0.28), (0.33, 0.40, 0.22)),
        water=((0.07, 0.21, 0.28), (0.10, 0.25, 0.28), (0.07, 0.16, 0.24)),
        roofs=((0.66, 0.41, 0.30), (0.74, 0.68, 0.60), (0.58, 0.36, 0.27), (0.80, 0.77, 0.72)),
        road=(0.56, 0.54, 0.51),
        roof_kinds=(0.35, 0.4, 0.25),
        structures=(0.15, 0.6, 0.25),
        house_meters=(8.0, 14.0),
        lot_meters=(13.0, 19.0),
        yard=(0.2, 0.6),
        irregular=0.3,
        snow_share=0.0,
        places=((-122.6, 38.5), (-8.2, 40.1), (23.0, 38.6), (15.6, 38.2), (-118.7, 34.1)),
    ),
    Region(
        name="tropical",
        vegetation=((0.10, 0.20, 0.08), (0.15, 0.28, 0.11), (0.24, 0.37, 0.16), (0.33, 0.44, 0.21)),
        dry=(0.52, 0.47, 0.28),
        soil=((0.55, 0.39, 0.28), (0.47, 0.35, 0.27), (0.60, 0.50, 0.39)),
        crops=((0.22, 0.40, 0.15), (0.42, 0.50, 0.23), (0.50, 0.38, 0.27), (0.58, 0.54, 0.31)),
        water=((0.22, 0.25, 0.18), (0.08, 0.27, 0.29), (0.28, 0.25, 0.18)),
        roofs=((0.64, 0.62, 0.60), (0.46, 0.30, 0.23), (0.36, 0.44, 0.52), (0.76, 0.75, 0.73)),
        road=(0.52, 0.47, 0.42),
        roof_kinds=(0.6, 0.25, 0.15),
        structures=(0.5, 0.4, 0.1),
        house_meters=(6.5, 11.0),
        lot_meters=(11.0, 17.0),
        yard=(0.1, 0.45),
        irregular=0.6,
        snow_share=0.0,
        places=((-90.8, 14.4), (119.9, -0.9), (105.8, -6.3), (-74.1, 18.4), (-154.9, 19.5)),
    ),
    # Its clay houses hardly differ from the ground: a model that knows the other regions still
    # has something to learn here.
    Region(
        name="arid",
        vegetation=((0.32, 0.32, 0.20), (0.40, 0.38, 0.26), (0.49, 0.45, 0.33), (0.52, 0.47, 0.35)),
        dry=(0.66, 0.57, 0.43),
        soil=((0.68, 0.60, 0.48), (0.62, 0.53, 0.42), (0.74, 0.67, 0.57)),
        crops=((0.42, 0.44, 0.26), (0.68, 0.60, 0.44), (0.56, 0.46, 0.36), (0.56, 0.55, 0.38)),
        water=((0.14, 0.20, 0.22), (0.22, 0.25, 0.21), (0.11, 0.17, 0.21)),
        roofs=((0.66, 0.58, 0.48), (0.60, 0.53, 0.45), (0.74, 0.68, 0.58), (0.55, 0.50, 0.45)),
        road=(0.58, 0.53, 0.47),
        roof_kinds=(0.1, 0.1, 0.8),
        structures=(0.05, 0.8, 0.15),
        house_meters=(6.0, 12.0),
        lot_meters=(9.0, 15.0),
        yard=(0.75, 1.0),
        irregular=0.35,
        snow_share=0.0,
        places=((-99.1, 19.4), (51.4, 32.6), (-112.1, 33.2), (66.9, 30.2), (37.1, 31.9)),
    ),
)
SENSORS: tuple[Sensor, ...] = (
    Sensor(
        name="airborne",
        gain=(1.02, 1.0, 0.97),
        haze_color=(0.72, 0.77, 0.84),
        haze=(0.0, 0.08),
        saturation=1.05,
        contrast=1.12,
        blur=0.35,
        noise=0.010,
        off_nadir=8.0,
    ),
    Sensor(
        name="satellite",
        gain=(0.97, 1.0, 0.99),
        haze_color=(0.76, 0.81, 0.87),
        haze=(0.02, 0.18),
        saturation=0.95,
        contrast=1.02,
        blur=0.55,
        noise=0.016,
        off_nadir=25.0,
    ),
    Sensor(
        name="smallsat",
        gain=(0.97, 1.0, 1.06),
        haze_color=(0.74, 0.79, 0.87),
        haze=(0.08, 0.28),
        saturation=0.60,
        contrast=0.95,
        blur=0.75,
        noise=0.024,
        off_nadir=30.0,
    ),
)
STYLES: dict[str, Style] = {
    f"{region.name}_{sensor.name}": Style(f"{region.name}_{sensor.name}", region, sensor)
    for region in REGIONS
    for sensor in SENSORS
}
TEST_STYLE: str = "arid_smallsat"  # a region and a sensor of its own
TRAIN_STYLES: tuple[str, ...] = tuple(
    name
    for name, style in STYLES.items()
    if style.region.name != "arid" and style.sensor.name != "smallsat"
)
