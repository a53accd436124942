"""Tests of the simulated gateways."""
