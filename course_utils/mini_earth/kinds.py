"""What the land of each scene class is like."""

# Share of the open ground that is green; density of trees in the open and in a wood.
GREEN = {
    "beach": (0.2, 0.7),
    "chaparral": (0.2, 0.5),
    "desert": (0.0, 0.05),
    "industrial_area": (0.1, 0.4),
    "meadow": (0.85, 1.0),
    "mountain": (0.1, 0.7),
    "runway": (0.5, 1.0),
    "airport": (0.5, 1.0),
    "parking_lot": (0.2, 0.8),
    "storage_tank": (0.1, 0.6),
}
WOOD = {
    "airport": (0.0, 0.02),
    "beach": (0.0, 0.15),
    "bridge": (0.1, 0.5),
    "chaparral": (0.0, 0.0),
    "circular_farmland": (0.0, 0.03),
    "dense_residential": (0.1, 0.35),
    "desert": (0.0, 0.004),
    "forest": (0.9, 1.0),
    "freeway": (0.05, 0.5),
    "harbor": (0.0, 0.1),
    "industrial_area": (0.0, 0.1),
    "meadow": (0.0, 0.03),
    "medium_residential": (0.2, 0.5),
    "mountain": (0.0, 0.5),
    "orchard": (0.0, 0.01),
    "parking_lot": (0.02, 0.2),
    "rectangular_farmland": (0.0, 0.02),
    "runway": (0.0, 0.0),
    "sparse_residential": (0.25, 0.7),
    "storage_tank": (0.0, 0.15),
}
GROUND = {
    "forest": "plain",
    "orchard": "orchard",
    "circular_farmland": "circles",
    "rectangular_farmland": "fields",
    "desert": "dunes",
    "chaparral": "shrubs",
    "mountain": "slopes",
}
OPEN_COUNTRY = ("bridge", "freeway", "lake", "river")
WATER = {"beach": "sea", "lake": "lake", "river": "river", "harbor": "sea"}
