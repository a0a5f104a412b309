"""Task probabilities come in; expected quality, cost and latency of every model, and a choice by them, go out."""
