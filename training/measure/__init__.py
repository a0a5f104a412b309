"""Rows of a plan in, graded answers of the models out, within a cap in USD."""
