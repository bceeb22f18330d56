"""Reports a person reads: the page of a verified network, the table of benchmarks."""
