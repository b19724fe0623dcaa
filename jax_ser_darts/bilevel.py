"""The bilevel problem of DARTS and the gradient of its architecture parameters.

    min_a  L_val(w*(a), a)   with   w*(a) = argmin_w L_train(w, a)              (Liu et al. 2019, eq. 3, 4)

One step of the optimiser stands for the inner problem: w' = U(w, g), g = dL_train(w, a)/dw. Then

    first order    da = dL_val(w, a)/da                                          (xi = 0)
    second order   da = dL_val(w', a)/da + d2 L_train(w, a)/da dw . v,
                   v  = (dU/dg)^T dL_val(w', a)/dw'                              (eq. 7)

With plain gradient descent U = w - xi g, so v = -xi dL_val/dw' and this is the paper's equation. U here is the very
optimiser that trains the weights, so clipping, weight decay and momentum are in v as they are in the step.

    implicit       da = dL_val(w, a)/da + d2 L_train(w, a)/da dw . v,
                   v  = -H^-1 dL_val/dw,  H = d2 L_train/dw2 + decay,
                   H^-1 = rate sum_k (I - rate H)^k,  K + 1 terms               (Lorraine et al. 2020, algorithms 2, 3)

is the gradient through the solution of the inner problem, exact where w has solved it and the series has converged.

Knows no model: it takes `loss(weights, alphas, batch) -> (scalar, auxiliary)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Tree = Any
Loss = Callable[[Tree, Tree, Tree], tuple[jax.Array, Tree]]
EXACT, FINITE_DIFFERENCES = "exact", "finite_differences"
PRODUCTS = (EXACT, FINITE_DIFFERENCES)
FIRST, SECOND = "first", "second"
ORDERS = (FIRST, SECOND)
IMPLICIT = "implicit"
HYPERGRADIENTS = (*ORDERS, IMPLICIT)


@dataclasses.dataclass(frozen=True)
class Gradients:
    """The gradients that both orders are made of, each a function that can be compiled by itself.

    One program each, instead of one a step: both orders share them. The weights have none of their own: beside their
    gradient that of the alphas costs next to nothing, and a program to compile is saved.

    Attributes:
        grad_alphas: (weights, alphas, batch) -> ((loss, auxiliary), gradient).
        grad_both: the same for the pair (weights, alphas).
        hvp_mixed: (weights, alphas, batch, v) -> d2 L / da dw . v, like the alphas.
        hvp_params: the same for d2 L / dw2 . v, v like the weights; for the implicit gradient.
        hvp_alphas: the same for d2 L / da2 . v, v like the alphas; for the curvature of L_val.
    """

    grad_alphas: Callable
    grad_both: Callable
    hvp_mixed: Callable
    hvp_params: Callable | None = None
    hvp_alphas: Callable | None = None


def make_gradients(loss: Loss, mean: Callable[[Tree], Tree] = lambda tree: tree) -> Gradients:
    """The gradients of a loss.

    Args:
        loss: (weights, alphas, batch) -> (scalar, auxiliary).
        mean: averages a tree over devices, e.g. `lambda t: lax.pmean(t, "devices")`. All gradients are averaged
            before they are used, so that the virtual step is the same everywhere.
    """

    def averaged(argnums):
        gradient = jax.value_and_grad(loss, argnums=argnums, has_aux=True)
        return lambda weights, alphas, batch: mean(gradient(weights, alphas, batch))

    def product(of, along):
        # Forward over reverse. The reverse part goes to what is asked for and to the batch's numbers, and the latter
        # is dropped: all of the model depends on the batch, so each custom_vjp in it has been replaced by its rules
        # (which can be differentiated forward) before the forward part comes, and no gradient but the one asked for,
        # nor its derivative, is ever computed.
        def compute(weights, alphas, batch, v):
            numbers, merge = _split_numbers(batch)

            def gradient(x):
                at = [weights, alphas]
                at[along] = x

                def of_one(one, numbers):
                    return loss(*at[:of], one, *at[of + 1 :], merge(numbers))

                return jax.grad(of_one, argnums=(0, 1), has_aux=True)(at[of], numbers)[0][0]

            return mean(jax.jvp(gradient, ((weights, alphas)[along],), (v,))[1])

        return compute

    of_weights, grad_alphas = 0, 1
    return Gradients(
        grad_alphas=averaged(1),
        grad_both=averaged((0, 1)),
        hvp_mixed=product(grad_alphas, of_weights),
        hvp_params=product(of_weights, of_weights),
        hvp_alphas=product(grad_alphas, grad_alphas),
    )


def _split_numbers(batch: Tree) -> tuple[list[jax.Array], Callable]:
    """The float leaves of a batch, and a function that puts such leaves back in their places."""
    leaves, structure = jax.tree.flatten(batch)
    places = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]

    def merge(numbers):
        found = dict(zip(places, numbers, strict=True))
        return jax.tree.unflatten(structure, [found.get(i, leaf) for i, leaf in enumerate(leaves)])

    return [leaves[i] for i in places], merge


@dataclasses.dataclass(frozen=True)
class InnerStep:
    """One step U of the weights' optimiser, from a fixed state of it.

    Attributes:
        apply: (weights, gradient, optimiser state) -> (new weights, new state).
        pull_back: (weights, gradient, optimiser state, c) -> (dU/dg)^T c.
    """

    apply: Callable
    pull_back: Callable


def make_inner_step(optimiser: optax.GradientTransformation) -> InnerStep:
    """The step of an optax optimiser, and its derivative in the gradient."""

    def apply(weights, gradient, state):
        updates, state = optimiser.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state

    def pull_back(weights, gradient, state, cotangent):
        _, pull = jax.vjp(lambda g: apply(weights, g, state)[0], gradient)
        return pull(cotangent)[0]

    return InnerStep(apply, pull_back)


def move(weights: Tree, v: Tree, distance: jax.Array) -> Tree:
    """weights + distance * v."""
    return jax.tree.map(lambda w, d: w + distance * d, weights, v)


def finite_difference_step(v: Tree, size: float) -> jax.Array:
    """r = size / ||v|| (Liu et al. 2019, eq. 8 with size = 0.01); 0-safe where v vanishes."""
    norm = optax.tree.norm(v)
    return jnp.asarray(size, norm.dtype) / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny ** 0.5)


def central_difference(plus: Tree, minus: Tree, r: jax.Array) -> Tree:
    """(plus - minus) / (2 r). The published code multiplies by r instead, which loses the term."""
    return jax.tree.map(lambda p, m: (p - m) / (2 * r), plus, minus)


def cosine(one: Tree, other: Tree) -> jax.Array:
    """Of the angle between two gradients; 0 where one vanishes."""
    norms = optax.tree.norm(one) * optax.tree.norm(other)
    return optax.tree.vdot(one, other) / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny)


def first_order(*, gradients: Gradients, weights: Tree, alphas: Tree, val_batch: Tree) -> tuple:
    """The gradient of the alphas with xi = 0.

    Returns:
        (validation loss, auxiliary), gradient.
    """
    return gradients.grad_alphas(weights, alphas, val_batch)


def second_order(
    *,
    gradients: Gradients,
    inner: InnerStep,
    weights: Tree,
    alphas: Tree,
    state: Tree,
    train_batch: Tree,
    val_batch: Tree,
    product: str = EXACT,
    difference_size: float = 0.01,
    algebra: "Algebra | None" = None,
) -> tuple:
    """The gradient of the alphas through one unrolled step of the weights.

    Args:
        gradients: see `make_gradients`.
        inner: see `make_inner_step`.
        weights, alphas, state: of the weights' optimiser, before the step.
        train_batch: for L_train. val_batch: for L_val.
        product: EXACT (forward over reverse) or FINITE_DIFFERENCES (two more gradients).
        difference_size: ||r v|| of the finite differences.
        algebra: compiled forms of this module's tree functions; theirs by default.

    Returns:
        (validation loss at w', auxiliary), dL_val(w', a)/da, and the second-order term to add to it.
    """
    algebra = algebra or Algebra()
    _, (g, _) = gradients.grad_both(weights, alphas, train_batch)
    virtual, _ = inner.apply(weights, g, state)
    value, (g_virtual, direct) = gradients.grad_both(virtual, alphas, val_batch)
    v = inner.pull_back(weights, g, state, g_virtual)
    if product == EXACT:
        return value, direct, gradients.hvp_mixed(weights, alphas, train_batch, v)
    if product != FINITE_DIFFERENCES:
        raise ValueError(f"product {product!r} is not one of {', '.join(PRODUCTS)}")
    r = algebra.finite_difference_step(v, difference_size)
    _, plus = gradients.grad_alphas(algebra.move(weights, v, r), alphas, train_batch)
    _, minus = gradients.grad_alphas(algebra.move(weights, v, -r), alphas, train_batch)
    return value, direct, algebra.central_difference(plus, minus, r)


def neumann_step(power: Tree, product: Tree, total: Tree, *, rate: float, decay: float) -> tuple[Tree, Tree]:
    """One more term: power - rate (product + decay power), where product = H power; and the sum with it."""
    power = jax.tree.map(lambda p, h: p - rate * (h + decay * p), power, product)
    return power, jax.tree.map(jnp.add, total, power)


def scaled(tree: Tree, factor: float) -> Tree:
    """factor * tree."""
    return jax.tree.map(lambda x: factor * x, tree)


def implicit(
    *,
    gradients: Gradients,
    weights: Tree,
    alphas: Tree,
    train_batch: Tree,
    val_batch: Tree,
    terms: int,
    rate: float,
    decay: float = 0.0,
    algebra: "Algebra | None" = None,
) -> tuple:
    """The gradient of the alphas through the solution of the inner problem, its inverse Hessian as a Neumann series.

    The series converges where all eigenvalues of rate * (Hessian + decay) lie between 0 and 2. Negative ones, as before
    the inner problem is solved, make its terms grow, the faster the larger `rate` is.

    Args:
        gradients: see `make_gradients`.
        weights, alphas: where.
        train_batch: for L_train, the same in all terms. val_batch: for L_val.
        terms: K, products with the Hessian; with 0, v is the second order's of plain gradient descent, but here.
        rate: of the series.
        decay: L2 decay of the weights, which L_train does not hold.
        algebra: compiled forms of this module's tree functions; theirs by default.

    Returns:
        (validation loss, auxiliary), dL_val(w, a)/da, which is the first order's gradient, and the term to add to it.
    """
    algebra = algebra or Algebra()
    value, (power, direct) = gradients.grad_both(weights, alphas, val_batch)
    total = power
    for _ in range(terms):
        product = gradients.hvp_params(weights, alphas, train_batch, power)
        power, total = algebra.neumann_step(power, product, total, rate=rate, decay=decay)
    v = algebra.scaled(total, -rate)
    return value, direct, gradients.hvp_mixed(weights, alphas, train_batch, v)


@dataclasses.dataclass(frozen=True)
class Algebra:
    """The tree functions between the gradients, so that a caller can compile them."""

    finite_difference_step: Callable = finite_difference_step
    move: Callable = move
    central_difference: Callable = central_difference
    neumann_step: Callable = neumann_step
    scaled: Callable = scaled
