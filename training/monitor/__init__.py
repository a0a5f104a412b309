"""A prompt log and one or two model folders in, the changes since training or between the folders out."""
