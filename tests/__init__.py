"""Tests of Eridanus."""
