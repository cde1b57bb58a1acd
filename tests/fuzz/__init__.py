"""Requests that nobody would send on purpose: none may hurt the broker or what it holds."""
