"""Tests of context sources: which are known, and how they are asked."""
