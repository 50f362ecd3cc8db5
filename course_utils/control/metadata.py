"""Seven numbers that say where, when and how an image was taken, and how a network reads them.

DiffusionSat and CRS-Diff tell a generator the same seven numbers, in two orders and on two scales:
whoever mixes them up asks for a place in the year of its longitude, and no network complains.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor, nn

Number = float | int
NUM_FIELDS = 7  # of one record
LONGEST = 10_000.0  # period that the slowest wave comes near to, over 2π
YEAR, MONTH = 365.24, 30.44  # days


@dataclass(frozen=True)
class Metadata:
    """A record in the order of DiffusionSat; None is unknown.

    Raises:
        ValueError: no number, or one outside its range. That catches the order of CRS-Diff, which
            begins with the year, and latitude before longitude wherever that is beyond 90°.

    Source: Khanna et al. 2024 (arXiv:2312.03606), section 3.1 and its released code.
    """

    longitude: Number | None = None  # degrees, -180 to 180
    latitude: Number | None = None  # degrees, -90 to 90
    meters_per_pixel: Number | None = None  # m, above 0, at most 100
    cloud_share: Number | None = None  # 0 to 1
    year: Number | None = None  # 1980 to 2100
    month: Number | None = None  # 1 to 12
    day: Number | None = None  # 1 to 31

    def __post_init__(self) -> None:
        """Refuse what is outside its range, and say what is probably wrong."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is None or (isinstance(value, Real) and low <= value <= high):
                continue
            raise ValueError(
                f"{name}: expected None or a number from {low:g} to {high:g}, got {value!r}. The "
                f"order is {', '.join(RANGES)} (DiffusionSat's); CRS-Diff's begins with the year "
                "and ends with latitude and longitude: see control.from_crs_diff"
            )


RANGES: dict[str, tuple[float, float]] = {
    "longitude": (-180, 180),
    "latitude": (-90, 90),
    "meters_per_pixel": (0.01, 100),
    "cloud_share": (0, 1),
    "year": (1980, 2100),
    "month": (1, 12),
    "day": (1, 31),
}
# value -> 1000 (value + shift) / width
SHIFTS = (180.0, 90.0, 0.0, 0.0, -1980.0, 0.0, 0.0)
WIDTHS = (360.0, 180.0, 1.0, 1.0, 120.0, 12.0, 31.0)
# year, month, day, m per pixel, cloud in percent, latitude, longitude: low and high of each
CRS_DIFF_RANGES = ((1980, 2024), (0, 12), (0, 31), (0, 5), (0, 100), (-90, 90), (-180, 180))


def scale_metadata(records: Sequence[Metadata]) -> Float[Tensor, "n 7"]:
    r"""Scale records as DiffusionSat does; what is unknown becomes zero.

    $$m = 1000\,\frac{\text{value} + \text{shift}}{\text{width}}$$

    Zero is also the scaled value of -180° or of no cloud: "unknown" cannot be told from these.

    Returns:
        One row a record; 0 to 1000, the ground sample distance in millimeters.

    Source: Khanna et al. 2024 (arXiv:2312.03606), released code.
    """
    rows = [
        [
            0.0 if value is None else 1000 * (value + shift) / width
            for value, shift, width in zip(astuple(record), SHIFTS, WIDTHS, strict=True)
        ]
        for record in records
    ]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), NUM_FIELDS)


def unscale_metadata(rows: Float[Tensor, "n 7"]) -> list[Metadata]:
    """Turn scaled rows back into records; zeros are unknown.

    Raises:
        ValueError: a row that was not scaled, or in another order: a number outside its range.
    """
    found = []
    for index, row in enumerate(rows.tolist()):
        values = [
            None if value == 0 else round(value * width / 1000 - shift, 4)  # day 1 stays in range
            for value, shift, width in zip(row, SHIFTS, WIDTHS, strict=True)
        ]
        try:
            found.append(Metadata(*values))
        except ValueError as error:
            raise ValueError(
                f"row {index} does not come from scale_metadata, which shifts a longitude by 180, "
                f"a latitude by 90, a year by -1980, and multiplies by 1000; read back: {error}"
            ) from error
    return found


def summer_of(record: Metadata) -> float:
    r"""Say how near a record is to midsummer: 1 on the longest day there, -1 on the shortest.

    $$\mp\cos\frac{2\pi\,(\text{day of the year} + 10)}{365.24}$$

    Minus north of the equator, plus south of it: Cooper's declination of the sun, seen from there.
    Months count as equally long, which is good to two days; an unknown day is the fifteenth.

    Raises:
        ValueError: latitude or month is unknown.

    Source: Duffie and Beckman, Solar Engineering of Thermal Processes, section 1.6.
    """
    if record.latitude is None or record.month is None:
        raise ValueError(
            "a season needs latitude and month, got latitude "
            f"{record.latitude}, month {record.month}"
        )
    day = MONTH * (record.month - 1) + (15 if record.day is None else record.day)
    northern = -math.cos(2 * math.pi * (day + 10) / YEAR)
    return northern if record.latitude >= 0 else -northern


def scale_for_crs_diff(record: Metadata) -> Float[Tensor, " 7"]:
    r"""Order and scale a record as CRS-Diff does: from 0 to 1 between the ends of each range.

    $$m = \frac{\text{value} - \text{low}}{\text{high} - \text{low}}$$

    What is unknown becomes zero. Its order: year, month, day, m per pixel, cloud in percent,
    latitude, longitude.

    Raises:
        ValueError: a number that CRS-Diff has no place for, as beyond 5 m per pixel.

    Source: Tang et al. 2024 (arXiv:2403.11614), released code.
    """
    cloud = None if record.cloud_share is None else 100 * record.cloud_share
    values = (record.year, record.month, record.day, record.meters_per_pixel, cloud)
    values = (*values, record.latitude, record.longitude)
    pairs = list(zip(values, CRS_DIFF_RANGES, strict=True))
    if wrong := [pair for pair in pairs if pair[0] is not None and pair[0] > pair[1][1]]:
        value, (low, high) = wrong[0]
        raise ValueError(f"CRS-Diff expects {low:g} to {high:g}, got {value:g}; leave it out: None")
    return torch.tensor(
        [0.0 if v is None else (v - low) / (high - low) for v, (low, high) in pairs]
    )


def from_crs_diff(values: Sequence[Number | None]) -> Metadata:
    """Read seven numbers in the order of CRS-Diff.

    Args:
        values: year, month, day, m per pixel, cloud in percent, latitude, longitude.

    Raises:
        ValueError: not seven, or one of them is outside its range.
    """
    if len(values) != NUM_FIELDS:
        raise ValueError(
            f"expected {NUM_FIELDS} numbers (year, month, day, m per pixel, cloud in percent, "
            f"latitude, longitude), got {len(values)}"
        )
    year, month, day, meters, cloud, latitude, longitude = values
    share = None if cloud is None else cloud / 100
    return Metadata(longitude, latitude, meters, share, year, month, day)


def metadata_waves(scaled: Float[Tensor, "n 7"], dim: int) -> Float[Tensor, "n 7 d"]:
    r"""Turn each number into waves, as a network reads the step t.

    $$e_i = \cos(\omega_i m), \quad e_{i+d/2} = \sin(\omega_i m), \quad
    \omega_i = 10000^{-2i/d}, \quad i = 0 \dots d/2 - 1$$

    Source: Khanna et al. 2024 (arXiv:2312.03606), eq. 2; Vaswani et al. 2017 (arXiv:1706.03762),
    section 3.5; cosines first, as in Stable Diffusion.
    """
    exponent = torch.arange(dim // 2, device=scaled.device) / (dim // 2)
    angle = scaled[..., None] * torch.exp(-math.log(LONGEST) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class NumberEmbedding(nn.Module):
    """Read the waves of one number: two layers, of which the last starts at zero."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(dim, width), nn.Linear(width, width)
        nn.init.zeros_(self.linear_2.weight)
        nn.init.zeros_(self.linear_2.bias)

    def forward(self, waves: Float[Tensor, "n d"]) -> Float[Tensor, "n width"]:
        """Turn waves into a part of the step's embedding."""
        return self.linear_2(nn.functional.silu(self.linear_1(waves)))


class MetadataEmbedding(nn.Module):
    r"""Read seven numbers into one vector that is added to the embedding of the step.

    $$c = \sum_{j=1}^{7} W_{2,j}\,\mathrm{silu}(W_{1,j}\, e(m_j) + b_{1,j}) + b_{2,j}$$

    At first nothing is added. The layers are those of DiffusionSat's network and have their names,
    so that its weights fit (``dim`` 320 and ``width`` 1280 there).

    Args:
        dim: waves of a number, d.
        width: of the step's embedding.

    Source: Khanna et al. 2024 (arXiv:2312.03606), section 3.1, and its released code.
    """

    def __init__(self, dim: int = 64, width: int = 256) -> None:
        super().__init__()
        self.dim, self.width = dim, width
        self.metadata_embedding = nn.ModuleList(
            NumberEmbedding(dim, width) for _ in range(NUM_FIELDS)
        )

    def forward(self, scaled: Float[Tensor, "n 7"]) -> Float[Tensor, "n width"]:
        """Add up what the numbers say, from `scale_metadata`."""
        waves = metadata_waves(scaled, self.dim)
        parts = [net(waves[:, j]) for j, net in enumerate(self.metadata_embedding)]
        return torch.stack(parts).sum(dim=0)
