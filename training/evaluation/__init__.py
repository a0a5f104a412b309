"""Predicted and labelled tasks in, figures with intervals, tables and plots out."""
