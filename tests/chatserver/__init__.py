"""Tests of chatserver."""
