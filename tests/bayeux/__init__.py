"""Tests of bayeux."""
