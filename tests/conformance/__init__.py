"""Where we stand against the ETSI conformance suite."""
