"""One module per import target. To add one, add a file here that calls `register`."""
