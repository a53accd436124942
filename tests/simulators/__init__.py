"""Tests of the push gateways that we simulate."""
