"""Which world this is: the number changes when, and only when, its images change."""

VERSION = "1.0"  # tests/golden_renders.json has the hashes of its images
