"""References from outside that the golden model is compared with."""
