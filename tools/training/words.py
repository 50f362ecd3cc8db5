"""Words for the training scripts: names of classes, templates, and a vocabulary to tokenize.

Class names are public knowledge; no image of EuroSAT is needed to know that it has a class
called "permanent crop". A model that has never met the words could not be asked about them.
"""

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

_PLACES = """
annual crop permanent crop herbaceous vegetation highway road industrial buildings pasture
residential buildings river sea lake forest annualcrop permanentcrop herbaceousvegetation sealake
airplane airport baseball diamond basketball court beach bridge chaparral church circular farmland
cloud commercial area dense residential desert freeway golf course ground track field harbor
industrial area intersection island meadow medium residential mobile home park mountain overpass
palace parking lot railway railway station rectangular farmland roundabout runway sea ice ship
snowberg sparse residential stadium storage tank storagetanks storage tanks tennis court terrace
thermal power station wetland agricultural baseballdiamond denseresidential golfcourse
mediumresidential mobilehomepark parkinglot sparseresidential tenniscourt bare land center park
playground pond port resort school square viaduct farmland cropland vineyard orchard olive grove
rice paddy greenhouse plantation grassland shrubland brushland savanna tundra steppe heath marsh
swamp mangrove lagoon delta estuary reservoir canal dam coast shore cliff valley hill volcano crater
glacier snow ice dune sand rock quarry mine oil field wind farm solar panels factory warehouse
construction site landfill cemetery university hospital town village city suburb downtown street
alley driveway path trail bicycle pavement pier dock marina boat yacht container crane train tram
bus truck car vehicle roof house villa hut barn silo tower chimney pipeline fence wall garden lawn
swimming pool fountain fields furrow hedge irrigation tractor harvest woodland canopy tree trees
bush grass reed plant plants crop crops soil mud water waves foam
"""
_EVENTS = """
earthquake flooding flood tsunami volcano volcanic eruption wildfire bush fire wind hurricane
tornado typhoon cyclone storm landslide drought disaster damage damaged destroyed collapsed
destruction debris rubble ruins burnt burned burning scar smoke ash lava flooded inundated muddy
submerged swept away torn off scattered aftermath before after event pre-event post-event
no-damage minor-damage major-damage un-classified intact undamaged minor major emergency tarpaulin
tent camp evacuated affected hit struck caused by
"""
_WORDS = """
a an the this that there here it is are was with without and or of in on at by to from for near
beside between behind over under around along across through above below next some many few
several lots two three four five six seven eight nine ten one piece part center centered middle
corner edge side left right top bottom north south east west northern southern eastern western
region temperate mediterranean tropical arid alpine coastal rural urban continental subtropical
boreal semi-arid humid dry green season early late spring summer autumn fall winter sunny cloudy
hazy clear morning evening shadow bright dark light pale deep dense sparse medium high low large
small big tiny long short wide narrow straight curved winding round circular rectangular square
parallel regular irregular neatly arranged scattered parked surrounded bare empty full open closed
old new flat steep white black gray grey red orange yellow brown beige blue turquoise golden
colorful satellite aerial airborne overhead remote sensing sentinel landsat drone photo photograph
image imagery picture view scene snapshot resolution seen taken shows showing google level meters
texture pattern texture rows row line lines stripes grid patch patches land use cover class type
"""
VOCABULARY: tuple[str, ...] = (
    *_PLACES.split(),
    *_EVENTS.split(),
    *_WORDS.split(),
    *(f"{level}_GOOGLE_LEVEL_" for level in range(10, 19)),
)
