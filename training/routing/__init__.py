"""Judging a router on a benchmark: curves of quality against cost, baselines, a verdict, and the pages that tell them."""
