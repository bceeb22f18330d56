"""The techniques, one file each; a new file here is found by itself."""
