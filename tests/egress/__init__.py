"""Tests of `broker.egress`."""
