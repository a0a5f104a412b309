"""A model folder comes in, the verified values that a router is made of go out."""
