"""A load on a running broker, measured against a bare aiohttp handler: `python -m tests.bench`."""
