"""hwgen: convolution accelerators from compressed networks, verified to the bit."""

__version__ = "0.1.0"
