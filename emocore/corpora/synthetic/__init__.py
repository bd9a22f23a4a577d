"""A corpus that is generated, for the demo and the tests."""
