"""Tests of this folder of the store, on a real MongoDB where it touches one."""
