"""A prompt comes in, a probability for each task goes out."""
