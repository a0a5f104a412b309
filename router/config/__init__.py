"""One TOML or YAML file in, everything that a router is made from out, except code."""
