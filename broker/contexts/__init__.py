"""@contexts: fetched within limits, cached in memory and in MongoDB, compiled with PyLD."""
