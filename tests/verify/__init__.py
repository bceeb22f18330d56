"""Co-verification of whole networks."""
