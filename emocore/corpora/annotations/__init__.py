"""Annotation files: who speaks when, and how, as tools for annotating speech write it. One file one reader."""
