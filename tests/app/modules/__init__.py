"""Tests of app.modules."""
