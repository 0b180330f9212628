"""Disturbed commands and damaged files: what the tests in tests/faults and the recorded runs share."""
