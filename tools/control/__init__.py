"""What trains and measures the small models that are told more than a sentence."""
