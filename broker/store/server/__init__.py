"""The MongoDB server itself: the embedded one, and what one of the operator's own must be."""
