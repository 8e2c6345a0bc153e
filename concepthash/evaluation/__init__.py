"""Metrics of a trained trial, computed from the codes that it saved."""
