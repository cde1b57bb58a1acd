"""Queries as MongoDB understands them: filters, orders, places, and the indexes that help."""
