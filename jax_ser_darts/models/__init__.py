"""The relaxed supernet and the discrete network, as Flax (Linen) modules."""
