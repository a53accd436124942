"""Tests of what the benches say: medians, ratios, targets, pictures, pages."""
