"""Tests of the ways to devices."""
