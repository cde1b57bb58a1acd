"""Tests of the store, on real MongoDB."""
