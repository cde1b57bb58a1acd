"""Eridanus, an NGSI-LD context broker on MongoDB."""
