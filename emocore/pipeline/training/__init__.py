"""Folds, fitted and scored on Ray."""
