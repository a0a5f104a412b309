"""Benchmark results in, model profiles and prompt heads out."""
