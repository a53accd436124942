"""Tests of the simulated push gateways."""
