"""Pure values of the lake: no clock, no file, no network."""
