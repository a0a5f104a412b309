"""Experiments in production: another model or setting for a part of the requests, within limits."""
