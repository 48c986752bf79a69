"""What tests of several kinds share beside fixtures."""
