"""Tests of Apple's binary interface, pure."""
