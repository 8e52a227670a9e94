"""Surface reflectance of the land covers of a simulated scene, mixed from measured spectra."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# float32, but for what NumPy widens on the way.
Float = NDArray[np.floating[Any]]


class LandCover(IntEnum):
    """Land cover of a pixel of a simulated scene; the values of `SimulatedSite.classes`.

    From `BENCH` on they are a mine's. `TRACK` only ever covers a part of a pixel, so it is in no map.
    """

    BROADLEAF_FOREST = 0
    CONIFEROUS_FOREST = 1
    SHRUB = 2
    MEADOW = 3
    GREEN_CROP = 4
    STUBBLE = 5
    BARE_FIELD = 6
    CLEAR_CUT = 7
    BARE_ROCK = 8
    GRAVEL_BAR = 9
    WATER = 10
    ROAD = 11
    TRACK = 12
    GARDEN = 13
    ROOF = 14
    LARGE_ROOF = 15
    CONSTRUCTION_SITE = 16
    RECLAIMED = 17
    BENCH = 18
    PIT_FLOOR = 19
    DUMP = 20
    VEGETATED_DUMP = 21
    TAILINGS = 22
    WET_TAILINGS = 23
    PIT_WATER = 24
    HAUL_ROAD = 25
    YARD = 26
    STOCKPILE = 27
    MINE_BUILDING = 28


class Spectrum(NamedTuple):
    """Mean and standard deviation of surface reflectance in the ten bands."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


# Measured surface reflectance, bands in the order of archive.BANDS. Three kinds of source:
# - pixels of real Sentinel-2 L2A scenes: the Bouconne forest in France (Theia, 2018), and four of the
#   published TerraMind examples (Denmark, southern Chile, Kenya, southern Brazil), chosen by their NDVI,
#   their water index or their land-cover map as the comment says;
# - a spectral library of surfaces resampled to the Sentinel-2 bands (`class_stats`);
# - mine surfaces measured in Sentinel-2 pixels of Brazil (`real_mine_spectra`): the six bands of a surface
#   that was forest before, the others linear in wavelength; tailings have red, green and blue only, and
#   beyond the red take the mine surface's shape.
MEASURED: dict[str, Spectrum] = {
    # France, NDVI > 0.8
    "broadleaf": Spectrum(
        (0.019, 0.034, 0.019, 0.056, 0.243, 0.319, 0.332, 0.355, 0.154, 0.059),
        (0.002, 0.003, 0.003, 0.007, 0.018, 0.027, 0.031, 0.029, 0.012, 0.007),
    ),
    # Chile, land cover "trees"
    "trees": Spectrum(
        (0.025, 0.034, 0.029, 0.061, 0.169, 0.214, 0.239, 0.245, 0.116, 0.060),
        (0.009, 0.012, 0.015, 0.022, 0.044, 0.058, 0.078, 0.065, 0.042, 0.032),
    ),
    # Chile, no trees, NDVI > 0.7
    "meadow": Spectrum(
        (0.030, 0.050, 0.034, 0.090, 0.233, 0.280, 0.317, 0.307, 0.166, 0.091),
        (0.007, 0.016, 0.010, 0.025, 0.085, 0.104, 0.110, 0.104, 0.040, 0.030),
    ),
    # Chile, no trees, NDVI 0.4 to 0.6
    "dry_grass": Spectrum(
        (0.041, 0.054, 0.064, 0.094, 0.151, 0.174, 0.191, 0.199, 0.190, 0.132),
        (0.012, 0.016, 0.021, 0.028, 0.038, 0.046, 0.058, 0.052, 0.061, 0.051),
    ),
    # Denmark, NDVI > 0.8
    "crop": Spectrum(
        (0.009, 0.045, 0.025, 0.093, 0.277, 0.327, 0.360, 0.356, 0.183, 0.096),
        (0.005, 0.009, 0.008, 0.015, 0.053, 0.064, 0.066, 0.065, 0.030, 0.018),
    ),
    # Chile, cropland, NDVI < 0.3
    "brown_soil": Spectrum(
        (0.062, 0.079, 0.113, 0.127, 0.149, 0.165, 0.182, 0.188, 0.265, 0.216),
        (0.013, 0.016, 0.023, 0.026, 0.028, 0.032, 0.037, 0.037, 0.058, 0.043),
    ),
    # Denmark, NDVI < 0.25
    "grey_soil": Spectrum(
        (0.064, 0.098, 0.147, 0.160, 0.183, 0.200, 0.235, 0.232, 0.249, 0.171),
        (0.023, 0.029, 0.034, 0.045, 0.048, 0.050, 0.056, 0.054, 0.065, 0.047),
    ),
    # Kenya, NDVI < 0.25
    "red_soil": Spectrum(
        (0.101, 0.139, 0.192, 0.227, 0.254, 0.274, 0.278, 0.303, 0.406, 0.323),
        (0.023, 0.029, 0.037, 0.039, 0.037, 0.036, 0.036, 0.035, 0.044, 0.049),
    ),
    # Kenya, red reflectance > 0.25
    "riverbed": Spectrum(
        (0.146, 0.198, 0.267, 0.299, 0.319, 0.336, 0.341, 0.360, 0.474, 0.400),
        (0.014, 0.015, 0.015, 0.020, 0.020, 0.020, 0.018, 0.022, 0.023, 0.029),
    ),
    # Brazil, NDVI < 0.2, red reflectance > 0.25
    "beach": Spectrum(
        (0.255, 0.306, 0.339, 0.361, 0.359, 0.367, 0.382, 0.382, 0.464, 0.435),
        (0.051, 0.054, 0.061, 0.062, 0.061, 0.061, 0.061, 0.061, 0.079, 0.101),
    ),
    # Brazil, water index > 0.2
    "water": Spectrum(
        (0.051, 0.060, 0.027, 0.022, 0.009, 0.010, 0.008, 0.008, 0.005, 0.004),
        (0.014, 0.017, 0.018, 0.021, 0.014, 0.014, 0.009, 0.012, 0.005, 0.003),
    ),
    # class_stats: bare/gravel
    "gravel": Spectrum(
        (0.172, 0.205, 0.235, 0.241, 0.246, 0.251, 0.253, 0.254, 0.303, 0.281),
        (0.121, 0.146, 0.168, 0.172, 0.175, 0.178, 0.179, 0.179, 0.189, 0.164),
    ),
    # class_stats: bare/soil
    "soil": Spectrum(
        (0.134, 0.199, 0.292, 0.318, 0.340, 0.357, 0.362, 0.365, 0.471, 0.421),
        (0.077, 0.100, 0.118, 0.123, 0.126, 0.126, 0.122, 0.120, 0.130, 0.111),
    ),
    # class_stats: bare/dirt
    "dirt": Spectrum(
        (0.103, 0.139, 0.183, 0.197, 0.212, 0.228, 0.242, 0.250, 0.394, 0.410),
        (0.004, 0.005, 0.006, 0.007, 0.007, 0.008, 0.009, 0.009, 0.015, 0.016),
    ),
    # class_stats: built/road
    "road": Spectrum(
        (0.089, 0.102, 0.115, 0.118, 0.120, 0.122, 0.123, 0.123, 0.150, 0.147),
        (0.042, 0.052, 0.061, 0.062, 0.062, 0.062, 0.060, 0.060, 0.069, 0.066),
    ),
    # class_stats: built/sidewalk
    "concrete": Spectrum(
        (0.224, 0.262, 0.297, 0.302, 0.309, 0.312, 0.311, 0.311, 0.373, 0.380),
        (0.108, 0.111, 0.099, 0.095, 0.090, 0.088, 0.087, 0.087, 0.116, 0.119),
    ),
    # class_stats: built/tile
    "tile": Spectrum(
        (0.058, 0.096, 0.211, 0.237, 0.261, 0.271, 0.269, 0.267, 0.552, 0.568),
        (0.008, 0.014, 0.036, 0.040, 0.044, 0.045, 0.045, 0.045, 0.110, 0.115),
    ),
    # class_stats: built/comp_shingle
    "shingle": Spectrum(
        (0.117, 0.135, 0.153, 0.155, 0.156, 0.156, 0.154, 0.153, 0.146, 0.135),
        (0.069, 0.070, 0.071, 0.070, 0.069, 0.068, 0.067, 0.066, 0.058, 0.051),
    ),
    # class_stats: built/metal
    "metal": Spectrum(
        (0.162, 0.183, 0.180, 0.185, 0.198, 0.215, 0.216, 0.218, 0.222, 0.228),
        (0.056, 0.065, 0.062, 0.066, 0.074, 0.088, 0.092, 0.095, 0.100, 0.107),
    ),
    # class_stats: burned/char
    "char": Spectrum(
        (0.049, 0.056, 0.069, 0.075, 0.081, 0.087, 0.093, 0.097, 0.194, 0.227),
        (0.028, 0.033, 0.042, 0.047, 0.052, 0.057, 0.061, 0.064, 0.091, 0.096),
    ),
    # class_stats: npv/npv
    "stubble": Spectrum(
        (0.085, 0.114, 0.162, 0.183, 0.202, 0.223, 0.245, 0.260, 0.398, 0.278),
        (0.040, 0.044, 0.052, 0.055, 0.057, 0.060, 0.064, 0.067, 0.111, 0.093),
    ),
    # class_stats: npv/litter
    "litter": Spectrum(
        (0.081, 0.110, 0.157, 0.189, 0.228, 0.256, 0.279, 0.297, 0.347, 0.227),
        (0.056, 0.070, 0.085, 0.098, 0.124, 0.138, 0.147, 0.154, 0.126, 0.100),
    ),
    # real_mine_spectra: mine_surface_amazon_gold
    "mine_surface": Spectrum(
        (0.128, 0.183, 0.218, 0.232, 0.244, 0.259, 0.280, 0.279, 0.269, 0.184),
        (0.041, 0.052, 0.065, 0.068, 0.071, 0.074, 0.079, 0.080, 0.105, 0.082),
    ),
    # real_mine_spectra: tailings_brazil
    "tailings": Spectrum(
        (0.123, 0.126, 0.150, 0.160, 0.168, 0.178, 0.193, 0.192, 0.185, 0.127),
        (0.035, 0.046, 0.074, 0.078, 0.081, 0.084, 0.090, 0.090, 0.119, 0.094),
    ),
}


class Air(NamedTuple):
    """The atmosphere's effect on surface reflectance: L1C = path + gain x L2A, band by band."""

    path: tuple[float, ...]
    gain: tuple[float, ...]


# Fitted by least squares between the L1C and the L2A pixels of the same TerraMind scenes (Chile, Denmark).
# The published band means (B02 above B03 above B04) are those of top-of-atmosphere reflectance.
CLEAR_AIR = Air(
    (0.0740, 0.0457, 0.0264, 0.0217, 0.0284, 0.0277, 0.0247, 0.0246, -0.0038, -0.0022),
    (0.653, 0.702, 0.803, 0.805, 0.784, 0.814, 0.762, 0.851, 0.916, 0.844),
)
HAZY_AIR = Air(
    (0.1092, 0.0653, 0.0390, 0.0370, 0.0369, 0.0335, 0.0267, 0.0254, 0.0051, 0.0024),
    (0.599, 0.631, 0.755, 0.745, 0.806, 0.862, 0.802, 0.909, 0.894, 0.830),
)


class Surface(NamedTuple):
    """The mixture of measured spectra that makes a land cover, and its variation.

    `mixture` are weights, `brightness` multiplies their sum; `crown` is the relative standard deviation from
    pixel to pixel (tree crowns and their shadows, roofs, boulders); `green` is the mean share of plants on
    the ground and `green_spread` its standard deviation in patches.
    """

    mixture: dict[str, float]
    brightness: float = 1.0
    crown: float = 0.02
    green: float = 0.0
    green_spread: float = 0.0


SURFACES: dict[LandCover, Surface] = {
    LandCover.BROADLEAF_FOREST: Surface({"broadleaf": 1.0}, 1.02, crown=0.10),
    LandCover.CONIFEROUS_FOREST: Surface({"trees": 1.0}, 0.84, crown=0.13),
    LandCover.SHRUB: Surface({"trees": 0.4, "dry_grass": 0.5, "brown_soil": 0.1}, 1.1, crown=0.09),
    LandCover.MEADOW: Surface({"meadow": 0.85, "dry_grass": 0.15}, 1.15, crown=0.03),
    LandCover.GREEN_CROP: Surface({"crop": 0.9, "brown_soil": 0.1}, 1.12, crown=0.02),
    LandCover.STUBBLE: Surface({"stubble": 0.55, "dry_grass": 0.45}, 1.02, green=0.05, green_spread=0.06),
    LandCover.CLEAR_CUT: Surface(
        {"litter": 0.45, "brown_soil": 0.55}, 0.9, 0.09, green=0.18, green_spread=0.12
    ),
    LandCover.WATER: Surface({"water": 1.0}, 0.6, crown=0.01),
    LandCover.ROAD: Surface({"road": 1.0}, 1.1, crown=0.05),
    LandCover.GARDEN: Surface({"meadow": 0.5, "trees": 0.25, "road": 0.25}, 0.95, crown=0.16),
    LandCover.ROOF: Surface(
        {"tile": 0.35, "shingle": 0.4, "road": 0.25}, crown=0.15, green=0.18, green_spread=0.12
    ),
    LandCover.LARGE_ROOF: Surface({"metal": 0.6, "concrete": 0.4}, crown=0.06),
    LandCover.WET_TAILINGS: Surface({"tailings": 0.6, "water": 0.4}, 0.6, crown=0.01),
    LandCover.PIT_WATER: Surface({"water": 1.0}, 0.85, crown=0.01),
    LandCover.MINE_BUILDING: Surface({"metal": 0.6, "shingle": 0.4}, 1.1, crown=0.08),
}

# Covers made of the site's own soil and rock: the share of each, and what is mixed in. Overburden is soil
# before it is a dump, and what is built or washed ashore is made of local stone: no colour is a mine's alone.
LOCAL_SURFACES: dict[LandCover, tuple[float, float, Surface]] = {
    LandCover.BARE_FIELD: (0.75, 0.3, Surface({}, 1.0, crown=0.025, green=0.06, green_spread=0.07)),
    LandCover.CONSTRUCTION_SITE: (0.5, 0.25, Surface({"gravel": 0.25}, 1.0, 0.08, 0.04, 0.06)),
    LandCover.BARE_ROCK: (0.2, 0.6, Surface({"dry_grass": 0.2}, 1.0, 0.07, 0.08, 0.10)),
    LandCover.GRAVEL_BAR: (0.0, 0.5, Surface({"gravel": 0.25, "riverbed": 0.25}, 0.9, 0.05, 0.05, 0.08)),
    LandCover.TRACK: (0.4, 0.2, Surface({"gravel": 0.4}, 0.85, 0.05, green=0.15)),
    LandCover.RECLAIMED: (0.5, 0.3, Surface({"dry_grass": 0.2}, 1.0, crown=0.05)),
    LandCover.BENCH: (0.2, 0.8, Surface({}, 1.0, crown=0.045, green=0.01, green_spread=0.03)),
    LandCover.PIT_FLOOR: (0.1, 0.75, Surface({"road": 0.15}, 0.95, crown=0.04)),
    LandCover.DUMP: (0.6, 0.4, Surface({}, 0.95, crown=0.05, green=0.08, green_spread=0.10)),
    LandCover.VEGETATED_DUMP: (0.3, 0.25, Surface({"dry_grass": 0.45}, 0.95, 0.07, 0.62, 0.2)),
    LandCover.TAILINGS: (0.0, 0.35, Surface({"tailings": 0.65}, 1.1, crown=0.015)),
    LandCover.HAUL_ROAD: (0.1, 0.6, Surface({"gravel": 0.3}, 1.05, crown=0.03)),
    LandCover.YARD: (
        0.1,
        0.4,
        Surface({"gravel": 0.3, "road": 0.2}, 0.95, 0.09, green=0.05, green_spread=0.06),
    ),
    LandCover.STOCKPILE: (0.0, 0.6, Surface({"char": 0.4}, 0.75, crown=0.08)),
}

# What is dug out, by its colour: white limestone and gypsum, yellow loess and clay, dark overburden of coal,
# red laterite and iron caps, grey granite and slate, pale sand. Brightness is the last number.
ROCKS: dict[str, tuple[dict[str, float], float]] = {
    "limestone": ({"gravel": 0.5, "concrete": 0.35, "beach": 0.15}, 1.02),
    "loess": ({"mine_surface": 0.6, "brown_soil": 0.25, "riverbed": 0.15}, 0.88),
    "coal": ({"brown_soil": 0.45, "char": 0.3, "mine_surface": 0.25}, 0.95),
    "laterite": ({"red_soil": 0.55, "tile": 0.1, "mine_surface": 0.35}, 0.85),
    "granite": ({"gravel": 0.45, "road": 0.35, "shingle": 0.2}, 0.88),
    "sand": ({"mine_surface": 0.45, "riverbed": 0.35, "beach": 0.2}, 0.88),
}
SOILS = ("brown_soil", "grey_soil", "red_soil", "dirt")

# Relative spread of a land cover's brightness: no narrower than illumination leaves it, and no wider than
# what one site shows of a class that the library collected around the world.
_SPREAD_LIMITS, _LARGEST_SPREAD = (0.07, 0.28), 0.45


class Palette(NamedTuple):
    """The spectra of one site: arrays indexed by `LandCover`, float32.

    `mean (covers, 10)` surface reflectance; `spread`, `crown`, `green` and `green_spread (covers,)`, where
    `spread` is the relative standard deviation of brightness inside the class.
    """

    mean: Float
    spread: Float
    crown: Float
    green: Float
    green_spread: Float


def site_palette(rng: np.random.Generator, rock: str, soil_weights: NDArray[np.float64]) -> Palette:
    """The spectra of one site.

    Every class is its mixture of measured spectra, moved as sites differ: in brightness, and a little in
    colour (a tilt along wavelength).

    Args:
        rng: Where the variation between sites comes from.
        rock: A key of `ROCKS`.
        soil_weights: Weights of `SOILS`, summing to 1.
    """
    soil = _mix(dict(zip(SOILS, soil_weights.tolist(), strict=True)))
    rock_mixture, rock_brightness = ROCKS[rock]
    stone = _mix(rock_mixture)
    stone = Spectrum(tuple(rock_brightness * value for value in stone.mean), stone.std)
    count = len(LandCover)
    mean, deviation, spread = np.zeros((count, 10)), np.zeros((count, 10)), np.zeros(count)
    textures = np.zeros((3, count))
    for cover in LandCover:
        soil_share, rock_share, surface = LOCAL_SURFACES.get(cover) or (0.0, 0.0, SURFACES[cover])
        other = _mix(surface.mixture)
        for values, kind in ((mean, "mean"), (deviation, "std")):
            local = soil_share * np.array(getattr(soil, kind)) + rock_share * np.array(getattr(stone, kind))
            values[cover] = surface.brightness * (local + np.array(getattr(other, kind)))
        spread[cover] = np.median(deviation[cover] / mean[cover])
        textures[:, cover] = surface.crown, surface.green, surface.green_spread

    # Half of what a class shows of itself around the world lies between sites.
    between = 0.7 * np.minimum(spread, _LARGEST_SPREAD)[:, None]
    tone = rng.standard_normal(count)
    # A site has one kind of stone: what is made of it is bright or dark together.
    stony = [cover for cover, (_, share, _) in LOCAL_SURFACES.items() if share >= 0.3]
    tone[stony] = 0.85 * rng.standard_normal() + 0.5 * tone[stony]
    brightness = np.exp(between * np.clip(tone, -2, 2)[:, None] - between**2 / 2)
    tilt = 0.035 * rng.standard_normal((count, 1)) * np.linspace(-1, 1, 10)
    values = (mean * brightness * (1 + tilt)).astype(np.float32)
    inside = np.clip(spread, *_SPREAD_LIMITS).astype(np.float32)
    return Palette(values, inside, *textures.astype(np.float32))


def _mix(weights: dict[str, float]) -> Spectrum:
    """The weighted sum of measured spectra; standard deviations add as if the parts varied together."""
    mean, std = np.zeros(10), np.zeros(10)
    for name, weight in weights.items():
        mean += weight * np.array(MEASURED[name].mean)
        std += weight * np.array(MEASURED[name].std)
    return Spectrum(tuple(mean.tolist()), tuple(std.tolist()))
