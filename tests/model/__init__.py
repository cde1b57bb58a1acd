"""The broker against a small model of what the specification says, written apart from it."""
