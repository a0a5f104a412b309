"""A training over the machines of a Ray cluster: encode there, and fit there with exact gradients.

- `shard`: Sums over the rows of one shard, for one logistic regression.
- `optimum`: The optimum of a logistic regression whose rows lie in shards.
- `encoding`: The vectors of some texts.
- `engine`: The shards and the encoders as actors of Ray.
"""
