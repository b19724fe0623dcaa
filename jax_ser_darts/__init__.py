"""Differentiable architecture search (DARTS) for speech emotion recognition, in JAX."""
