"""The bilevel problem of DARTS and the gradient of its architecture parameters.

    min_a  L_val(w*(a), a)   with   w*(a) = argmin_w L_train(w, a)              (Liu et al. 2019, eq. 3, 4)

w are the supernet's parameters (`params`), a its architecture parameters (`alphas`). One step of the optimiser stands
for the inner problem: w' = U(w, g), g = dL_train(w, a)/dw. Then

    first order    da = dL_val(w, a)/da                                          (xi = 0)
    second order   da = dL_val(w', a)/da + d2 L_train(w, a)/da dw . v,
                   v  = (dU/dg)^T dL_val(w', a)/dw'                              (eq. 7)

With plain gradient descent U = w - xi g, so v = -xi dL_val/dw' and this is the paper's equation. U here is the very
optimiser that trains the params, so clipping, weight decay and momentum are in v as they are in the step.

    implicit       da = dL_val(w, a)/da + d2 L_train(w, a)/da dw . v,
                   v  = -H^-1 dL_val/dw,  H = d2 L_train/dw2 + decay,
                   H^-1 = rate sum_k (I - rate H)^k,  K + 1 terms               (Lorraine et al. 2020, algorithms 2, 3)

is the gradient through the solution of the inner problem, exact where w has solved it and the series has converged.

The first summand is called the direct part, the second the correction. Nothing here knows a model: it takes
`loss(params, alphas, batch) -> (scalar, auxiliary)`.
"""

import dataclasses
import functools
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
    """The gradients that all orders are made of, each a function that can be compiled by itself.

    One program each, instead of one a step: the orders share them. The params have none of their own: beside their
    gradient that of the alphas costs next to nothing, and a program to compile is saved.

    Attributes:
        grad_alphas: (params, alphas, batch) -> ((loss, auxiliary), gradient).
        grad_both: the same for the pair (params, alphas).
        hvp_mixed: (params, alphas, batch, v) -> d2 L / da dw . v, like the alphas; v like the params.
        hvp_params: the same for d2 L / dw2 . v, like the params; for the implicit gradient.
        hvp_alphas: the same for d2 L / da2 . v, v like the alphas; for the curvature of L_val.
    """

    grad_alphas: Callable
    grad_both: Callable
    hvp_mixed: Callable
    hvp_params: Callable
    hvp_alphas: Callable


def make_gradients(loss: Loss, mean: Callable[[Tree], Tree] = lambda tree: tree) -> Gradients:
    """The gradients of a loss.

    Args:
        loss: (params, alphas, batch) -> (scalar, auxiliary).
        mean: averages a tree over devices, e.g. `lambda t: lax.pmean(t, "devices")`. All gradients are averaged
            before they are used, so that the virtual step is the same everywhere.
    """

    def averaged(argnums):
        gradient = jax.value_and_grad(loss, argnums=argnums, has_aux=True)
        return lambda params, alphas, batch: mean(gradient(params, alphas, batch))

    def hessian_product(row, column):
        # Forward over reverse. The reverse part goes to what is asked for and to the batch's numbers, and the latter
        # is dropped: all of the model depends on the batch, so each custom_vjp in it has been replaced by its rules
        # (which can be differentiated forward) before the forward part comes, and no gradient but the one asked for,
        # nor its derivative, is ever computed.
        def product(params, alphas, batch, v):
            numbers, merge = _split_numbers(batch)

            def gradient(x):
                arguments = [params, alphas]
                arguments[column] = x

                def loss_of(x, numbers):
                    params, alphas = (x if i == row else other for i, other in enumerate(arguments))
                    return loss(params, alphas, merge(numbers))

                return jax.grad(loss_of, argnums=(0, 1), has_aux=True)(arguments[row], numbers)[0][0]

            return mean(jax.jvp(gradient, ((params, alphas)[column],), (v,))[1])

        return product

    of_params, of_alphas = 0, 1  # rows and columns of the Hessian
    return Gradients(
        grad_alphas=averaged(of_alphas),
        grad_both=averaged((of_params, of_alphas)),
        hvp_mixed=hessian_product(of_alphas, of_params),
        hvp_params=hessian_product(of_params, of_params),
        hvp_alphas=hessian_product(of_alphas, of_alphas),
    )


def _split_numbers(batch: Tree) -> tuple[list[jax.Array], Callable]:
    """The float leaves of a batch, and a function that puts such leaves back in their places."""
    leaves, structure = jax.tree.flatten(batch)
    places = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]

    def merge(numbers):
        replaced = dict(zip(places, numbers, strict=True))
        return jax.tree.unflatten(structure, [replaced.get(i, leaf) for i, leaf in enumerate(leaves)])

    return [leaves[i] for i in places], merge


@dataclasses.dataclass(frozen=True)
class InnerStep:
    """One step U of the params' optimiser, from a fixed state of it.

    Attributes:
        apply: (params, gradient, opt_state) -> (new params, new opt_state).
        pull_back: (params, gradient, opt_state, c) -> (dU/dg)^T c.
    """

    apply: Callable
    pull_back: Callable


def make_inner_step(tx: optax.GradientTransformation) -> InnerStep:
    """The step of an optax optimiser, and its derivative in the gradient."""

    def apply(params, gradient, opt_state):
        updates, opt_state = tx.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def pull_back(params, gradient, opt_state, cotangent):
        _, pull = jax.vjp(lambda g: apply(params, g, opt_state)[0], gradient)
        return pull(cotangent)[0]

    return InnerStep(apply, pull_back)


@jax.jit
def move(params: Tree, v: Tree, distance: jax.Array) -> Tree:
    """params + distance * v."""
    return jax.tree.map(lambda w, d: w + distance * d, params, v)


@jax.jit
def finite_difference_step(v: Tree, epsilon: float) -> jax.Array:
    """r = epsilon / ||v|| (Liu et al. 2019, eq. 8 with epsilon = 0.01); 0-safe where v vanishes."""
    norm = optax.tree.norm(v)
    return jnp.asarray(epsilon, norm.dtype) / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny ** 0.5)


@jax.jit
def central_difference(plus: Tree, minus: Tree, r: jax.Array) -> Tree:
    """(plus - minus) / (2 r). The published code multiplies by r instead, which loses the correction."""
    return jax.tree.map(lambda p, m: (p - m) / (2 * r), plus, minus)


@functools.partial(jax.jit, static_argnames=("rate", "decay"))
def neumann_step(power: Tree, product: Tree, total: Tree, *, rate: float, decay: float) -> tuple[Tree, Tree]:
    """One more term: power - rate (product + decay power), where product = H power; and the sum with it."""
    power = jax.tree.map(lambda p, h: p - rate * (h + decay * p), power, product)
    return power, jax.tree.map(jnp.add, total, power)


@functools.partial(jax.jit, static_argnames="factor")
def scaled(tree: Tree, factor: float) -> Tree:
    """factor * tree."""
    return jax.tree.map(lambda x: factor * x, tree)


def cosine(first: Tree, second: Tree) -> jax.Array:
    """Of the angle between two gradients; 0 where either vanishes."""
    norms = optax.tree.norm(first) * optax.tree.norm(second)
    return optax.tree.vdot(first, second) / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny)


def first_order(*, gradients: Gradients, params: Tree, alphas: Tree, val_batch: Tree) -> tuple:
    """The gradient of the alphas with xi = 0.

    Returns:
        (validation loss, auxiliary), gradient.
    """
    return gradients.grad_alphas(params, alphas, val_batch)


def second_order(
    *,
    gradients: Gradients,
    inner: InnerStep,
    params: Tree,
    alphas: Tree,
    opt_state: Tree,
    train_batch: Tree,
    val_batch: Tree,
    hvp: str = EXACT,
    hvp_epsilon: float = 0.01,
) -> tuple:
    """The gradient of the alphas through one unrolled step of the params.

    Args:
        gradients: see `make_gradients`.
        inner: see `make_inner_step`.
        params, alphas, opt_state: before the step; the last of the params' optimiser.
        train_batch: for L_train. val_batch: for L_val.
        hvp: the Hessian-vector product, EXACT (forward over reverse) or FINITE_DIFFERENCES (two more gradients).
        hvp_epsilon: ||r v|| of the finite differences.

    Returns:
        (validation loss at w', auxiliary), dL_val(w', a)/da, and the correction to add to it.
    """
    _, (g, _) = gradients.grad_both(params, alphas, train_batch)
    virtual, _ = inner.apply(params, g, opt_state)
    value, (g_virtual, direct) = gradients.grad_both(virtual, alphas, val_batch)
    v = inner.pull_back(params, g, opt_state, g_virtual)
    if hvp == EXACT:
        return value, direct, gradients.hvp_mixed(params, alphas, train_batch, v)
    if hvp != FINITE_DIFFERENCES:
        raise ValueError(f"hvp {hvp!r} is not one of {', '.join(PRODUCTS)}")
    r = finite_difference_step(v, hvp_epsilon)
    _, plus = gradients.grad_alphas(move(params, v, r), alphas, train_batch)
    _, minus = gradients.grad_alphas(move(params, v, -r), alphas, train_batch)
    return value, direct, central_difference(plus, minus, r)


def implicit(
    *,
    gradients: Gradients,
    params: Tree,
    alphas: Tree,
    train_batch: Tree,
    val_batch: Tree,
    terms: int,
    rate: float,
    decay: float = 0.0,
) -> tuple:
    """The gradient of the alphas through the solution of the inner problem, its inverse Hessian as a Neumann series.

    The series converges where all eigenvalues of rate * (Hessian + decay) lie between 0 and 2. Negative ones, as before
    the inner problem is solved, make its terms grow, the faster the larger `rate` is.

    Args:
        gradients: see `make_gradients`.
        params, alphas: where.
        train_batch: for L_train, the same in all terms. val_batch: for L_val.
        terms: K, products with the Hessian; with 0, v is the second order's of plain gradient descent, but here.
        rate: of the series.
        decay: L2 decay of the params, which L_train does not hold.

    Returns:
        (validation loss, auxiliary), dL_val(w, a)/da, which is the first order's gradient, and the correction to it.
    """
    value, (power, direct) = gradients.grad_both(params, alphas, val_batch)
    total = power
    for _ in range(terms):
        product = gradients.hvp_params(params, alphas, train_batch, power)
        power, total = neumann_step(power, product, total, rate=rate, decay=decay)
    v = scaled(total, -rate)
    return value, direct, gradients.hvp_mixed(params, alphas, train_batch, v)
