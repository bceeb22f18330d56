"""Training of float graphs with PyTorch (``hwgen[train]``); nothing else of the package imports it at start."""
