"""The parts of the small text-to-image model, for what trains, distills and ships it."""
