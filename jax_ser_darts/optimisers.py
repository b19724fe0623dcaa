"""The optimisers of params and alphas, as DARTS sets them (Liu et al. 2019, appendix A.1)."""

import jax
import jax.numpy as jnp
import optax


def cosine(*, start: float, end: float, steps: int) -> optax.Schedule:
    """From `start` to `end` along half a cosine in `steps` steps."""
    return optax.cosine_decay_schedule(start, max(steps, 1), alpha=end / start)


def linear(*, start: float, end: float, steps: int) -> optax.Schedule:
    """From `start` to `end` along a line in `steps` steps, float32."""

    def schedule(step: jax.Array) -> jax.Array:
        done = jnp.minimum(step.astype(jnp.float32) / max(steps, 1), 1.0)
        return start + (end - start) * done

    return schedule


def sgd(
    *, schedule: optax.Schedule, momentum: float, weight_decay: float, clip: float
) -> optax.GradientTransformation:
    """Gradient clipped by its global norm, L2 decay, momentum: PyTorch's SGD after clip_grad_norm."""
    return _chain(
        optax.clip_by_global_norm(clip),
        optax.add_decayed_weights(weight_decay),
        optax.sgd(schedule, momentum=momentum),
    )


def adamw(*, schedule: optax.Schedule, weight_decay: float, clip: float) -> optax.GradientTransformation:
    """AdamW after clipping by the global norm."""
    return _chain(optax.clip_by_global_norm(clip), optax.adamw(schedule, weight_decay=weight_decay))


def adam_with_l2(
    *, learning_rate: float, betas: tuple[float, float], weight_decay: float
) -> optax.GradientTransformation:
    """Adam whose decay is part of the gradient, as PyTorch's: the alphas' optimiser."""
    return _chain(
        optax.add_decayed_weights(weight_decay), optax.adam(learning_rate, b1=betas[0], b2=betas[1])
    )


def _chain(*transformations: optax.GradientTransformation) -> optax.GradientTransformation:
    """`optax.chain`, whose schedules and Adam mix floats with integer counts: strict promotion refuses that."""
    chain = optax.chain(*transformations)

    def update(updates, state, params=None):
        with jax.numpy_dtype_promotion("standard"):
            return chain.update(updates, state, params)

    return optax.GradientTransformation(chain.init, update)
