"""Attacks on classifiers of images."""
