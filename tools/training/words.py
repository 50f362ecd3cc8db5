"""Words for the training scripts: names of classes, templates, and a vocabulary to tokenize.

Class names are public knowledge; no image of EuroSAT is needed to know that it has a class
called "permanent crop". A model that has never met the words could not be asked about them.
"""

from pathlib import Path

# The general prompts, each with {} for a phrase that may or may not carry its article.
TEMPLATES: tuple[str, ...] = (
    "{}",
    "{}.",
    "a satellite photo of {}",
    "a satellite photo of {}.",
    "a centered satellite photo of {}.",
    "a remote sensing image of {}",
    "a remote sensing image of {}.",
    "a satellite image of {}",
    "satellite imagery of {}.",
    "aerial imagery of {}.",
    "an aerial image of {}.",
    "an aerial photo of {}",
    "an overhead view of {}",
    "this is {}.",
    "there is {} in the image.",
)
EVENT_TEMPLATES: tuple[str, ...] = (
    "a place damaged by {}",
    "damage after {}",
    "a satellite photo of damage caused by {}.",
    "a town after {}",
    "an area hit by {}.",
    "a satellite image of the aftermath of {}",
)

UC_MERCED_PHRASES: dict[str, tuple[str, ...]] = {
    "agricultural": ("agricultural land", "farmland", "cropland", "annual crop land"),
    "airplane": ("airplanes", "an airplane", "airplanes at an airport"),
    "baseballdiamond": ("a baseball diamond", "a baseball field"),
    "beach": ("a beach", "a sandy beach beside the sea", "a coast with sea water"),
    "buildings": ("buildings", "large buildings", "commercial buildings", "industrial buildings"),
    "chaparral": ("chaparral", "brushland or shrubland", "herbaceous vegetation"),
    "denseresidential": ("a dense residential area", "residential buildings", "many houses"),
    "forest": ("a forest", "dense green trees", "a forest canopy"),
    "freeway": ("a freeway", "a highway or road", "a highway"),
    "golfcourse": ("a golf course", "green turf of a golf course"),
    "harbor": ("a harbor", "a marina with boats"),
    "intersection": ("a road intersection", "a crossroads"),
    "mediumresidential": ("a medium residential area", "residential buildings", "houses"),
    "mobilehomepark": ("a mobile home park", "mobile homes"),
    "overpass": ("an overpass", "a highway overpass", "a highway or road"),
    "parkinglot": ("a parking lot", "parked cars"),
    "river": ("a river", "a winding river", "river water"),
    "runway": ("a runway", "an airport runway"),
    "sparseresidential": ("a sparse residential area", "a few houses", "scattered houses"),
    "storagetanks": ("storage tanks", "industrial tanks", "oil tanks"),
    "tenniscourt": ("a tennis court", "tennis courts"),
}
# Used for captions only by small_text2image_eurosat, the one model that sees EuroSAT.
EUROSAT_PHRASES: dict[str, tuple[str, ...]] = {
    "AnnualCrop": ("annual crop", "annual crop land", "annual crop fields"),
    "Forest": ("a forest", "forest", "dense trees"),
    "HerbaceousVegetation": (
        "herbaceous vegetation",
        "herbaceous vegetation land",
        "brushland or shrubland",
    ),
    "Highway": ("a highway", "highway", "a highway or road"),
    "Industrial": ("industrial", "industrial buildings", "an industrial area"),
    "Pasture": ("pasture", "pasture land", "a green pasture"),
    "PermanentCrop": ("permanent crop", "permanent crop land", "orchards and vineyards"),
    "Residential": ("residential", "residential buildings", "a residential area"),
    "River": ("a river", "river", "a river through open land"),
    "SeaLake": ("sea lake", "a sea or lake", "sea or lake", "open water"),
}

# Places, events and other words of captions, and the zoom levels.
VOCABULARY: tuple[str, ...] = (
    *Path(__file__).with_name("vocabulary.txt").read_text(encoding="utf-8").split(),
    *(f"{level}_GOOGLE_LEVEL_" for level in range(10, 19)),
)
