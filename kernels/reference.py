"""Every kernel in plain array code, on any array library with NumPy's names: the definition of each.

`xp` is the array library (numpy or cupy). Fast implementations have the same signatures without it.
"""

from __future__ import annotations


def matmul(xp, a, b, transpose_a, transpose_b):
    """op(a) @ op(b) for matrices, where op transposes if its flag is set; (M, K) and (K, N) give (M, N)."""
    return (a.T if transpose_a else a) @ (b.T if transpose_b else b)


def dense(xp, x, w, b, slope):
    """leaky(x @ w + b): x (M, K), w (K, N), b (N,); slope 1 leaves the sum as it is."""
    y = x @ w + b
    return y if slope == 1 else xp.where(y > 0, y, y * slope)


def slope_gate(xp, x, v, slope):
    """v where x > 0, slope * v elsewhere: LeakyReLU where v = x, its derivative times v elsewhere."""
    return xp.where(x > 0, v, v * slope)


def gate_and_sum(xp, x, v, slope):
    """(out, sums): out = slope_gate(x, v) for matrices (rows, columns), and its sum over the rows."""
    out = slope_gate(xp, x, v, slope)
    return out, out.sum(axis=0)


def batch_norm(xp, x, gamma, beta, eps):
    """Normalise each column of x (rows, channels), scale by gamma and shift by beta: (y, mean, variance).

    The variance is the biased one (divided by the number of rows), as in Ioffe and Szegedy, 2015, Algorithm 1.
    """
    mean = x.mean(axis=0)
    centred = x - mean
    variance = (centred * centred).mean(axis=0)
    return centred / xp.sqrt(variance + eps) * gamma + beta, mean, variance


def batch_norm_grad(xp, g, x, gamma, mean, variance, eps):
    """The derivatives (dx, dgamma, dbeta) of <g, y> for y of `batch_norm`."""
    scale = 1 / xp.sqrt(variance + eps)
    xhat = (x - mean) * scale
    dbeta = g.sum(axis=0)
    dgamma = (g * xhat).sum(axis=0)
    rows = x.shape[0]
    return gamma * scale * (g - dbeta / rows - xhat * (dgamma / rows)), dgamma, dbeta


def adam(xp, p, gradients, bounds, m, v, first_bad, step, rate, beta1, beta2, eps):
    """One step of Adam (Kingma and Ba, 2015, Algorithm 1), in place on the flat buffers p, m and v.

    `gradients[k]` belongs to the numbers bounds[k, 0] up to bounds[k, 1]. `first_bad[k]` (-1 so far) becomes
    `step`, which counts from 1, when the gradient is not finite. `rate` is the learning rate.
    """
    for k, (part, g) in enumerate(_parts(gradients, bounds)):
        _note_bad(xp, first_bad, k, g, step)
        m[part] = beta1 * m[part] + (1 - beta1) * g
        v[part] = beta2 * v[part] + (1 - beta2) * g * g
        corrected = v[part] / (1 - beta2**step)
        p[part] -= rate / (1 - beta1**step) * m[part] / (xp.sqrt(corrected) + eps)


def sgd(xp, p, gradients, bounds, velocity, first_bad, step, rate, momentum):
    """One step of gradient descent with momentum (Polyak, 1964): v = momentum v + g, p = p - rate v; in place."""
    for k, (part, g) in enumerate(_parts(gradients, bounds)):
        _note_bad(xp, first_bad, k, g, step)
        velocity[part] = momentum * velocity[part] + g
        p[part] -= rate * velocity[part]


def rmsprop(xp, p, gradients, bounds, v, first_bad, step, rate, decay, eps):
    """One step of RMSprop (Tieleman and Hinton, 2012): v = decay v + (1 - decay) g^2, p -= rate g / (sqrt(v) + eps)."""
    for k, (part, g) in enumerate(_parts(gradients, bounds)):
        _note_bad(xp, first_bad, k, g, step)
        v[part] = decay * v[part] + (1 - decay) * g * g
        p[part] -= rate * g / (xp.sqrt(v[part]) + eps)


def _parts(gradients, bounds):
    for g, (start, stop) in zip(gradients, bounds.tolist(), strict=True):
        yield slice(start, stop), g.reshape(-1)


def _note_bad(xp, first_bad, k, g, step):
    bad_now = (first_bad[k] < 0) & ~xp.isfinite(g).all()
    first_bad[k] = xp.where(bad_now, step, first_bad[k])  # decided on the device: nothing is read back


KERNELS = (matmul, dense, slope_gate, gate_and_sum, batch_norm, batch_norm_grad, adam, sgd, rmsprop)
