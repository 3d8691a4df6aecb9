"""How long a test waits for what has to happen: the end of a test that hangs, and no measure of speed."""

PATIENCE_S = 180.0
