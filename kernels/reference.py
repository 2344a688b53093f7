"""Every kernel in plain array code, on any array library with NumPy's names: the definition of each.

`xp` is the array library (numpy or cupy). Fast implementations have the same signatures without it.
"""

from __future__ import annotations

from minigan_kernels.sums import total

ARRAYS = None  # those of any library


def unavailable():
    """None: it can be used everywhere."""
    return None


def describe():
    """No facts: it depends on nothing but the array library."""
    return {}


def matmul(xp, a, b, transpose_a, transpose_b):
    """op(a) @ op(b) for matrices, where op transposes if its flag is set; (M, K) and (K, N) give (M, N)."""
    return (a.T if transpose_a else a) @ (b.T if transpose_b else b)


def dense(xp, x, w, b, slope):
    """leaky(x @ w + b): x (M, K), w (K, N), b (N,); slope 1 leaves the sum as it is."""
    return _bent(xp, x @ w, b, slope)


def conv2d(xp, x, w, b, slope, geometry, memo=None):
    """leaky(cross-correlation of x with w, plus b): x (N, H, W, in), w (kh, kw, in, out), b (out,) or None.

    y[n, i, j] = sum over taps (u, v) of padded x[n, i * down + u, j * across + v] @ w[u, v].
    """
    y = None
    padded = _padded(xp, x, geometry)
    for (u, v), window in _windows(geometry):
        term = padded[window] @ w[u, v]
        y = term if y is None else y + term
    return _bent(xp, y, b, slope)


def conv2d_input_grad(xp, g, w, b, slope, geometry, memo=None):
    """leaky(the derivative of <g, conv2d(x, w)> in x, plus b): the transposed convolution.

    g (N, out rows, out columns, out), w (kh, kw, in, out), b (in,) or None; gives (N, H, W, in).
    """
    (top, _), (left, _) = geometry.padding
    height, width = geometry.size
    padded = xp.zeros((g.shape[0], *geometry.padded, w.shape[2]), g.dtype)
    for (u, v), window in _windows(geometry):
        padded[window] += g @ w[u, v].T
    return _bent(xp, padded[:, top : top + height, left : left + width], b, slope)


def conv2d_weight_grad(xp, x, g, geometry):
    """The derivative of <g, conv2d(x, w)> in w, (kh, kw, in, out)."""
    padded = _padded(xp, x, geometry)
    taps = [xp.tensordot(padded[window], g, ((0, 1, 2), (0, 1, 2))) for _, window in _windows(geometry)]
    return xp.stack(taps).reshape(*geometry.kernel, x.shape[-1], g.shape[-1])


def _padded(xp, x, geometry):
    return xp.pad(x, ((0, 0), *geometry.padding, (0, 0)))


def _windows(geometry):
    """For each tap (u, v) of the kernel, the part of the padded pictures that meets it."""
    (rows, columns), (down, across) = geometry.out, geometry.stride
    for u in range(geometry.kernel[0]):
        for v in range(geometry.kernel[1]):
            yield (u, v), (slice(None), slice(u, u + down * rows, down), slice(v, v + across * columns, across))


def _bent(xp, y, b, slope):
    y = y if b is None else y + b
    return y if slope == 1 else slope_gate(xp, y, y, slope)


def slope_gate(xp, x, v, slope):
    """v where x > 0, slope * v elsewhere: LeakyReLU where v = x, its derivative times v elsewhere.

    A slope of 0 makes 0 of any v where x <= 0, of infinite ones too, which times 0 are NaN.
    """
    return xp.where(x > 0, v, v * slope) if slope else xp.where(x <= 0, slope, v)


def gate_and_sum(xp, x, v, slope):
    """(out, sums): out = slope_gate(x, v) for matrices (rows, columns), and its sum over the rows."""
    out = slope_gate(xp, x, v, slope)
    return out, total(out, 0)


def batch_norm(xp, x, gamma, beta, eps, slope):
    """Normalise each column of x (rows, channels), scale by gamma, shift by beta, bend: (y, mean, variance).

    The variance is the biased one (divided by the number of rows), as in Ioffe and Szegedy, 2015, Algorithm 1.
    """
    mean = x[0] + total(x - x[0], 0) / len(x)  # sums of what lies around 0 keep their digits, however large the mean is
    centred = x - mean
    variance = total(centred * centred, 0) / len(x)
    return _bent(xp, centred * (1 / xp.sqrt(variance + eps)) * gamma, beta, slope), mean, variance


def batch_norm_grad(xp, g, x, gamma, beta, mean, variance, eps, slope):
    """The derivatives (dx, dgamma, dbeta) of <g, y> for y of `batch_norm`."""
    scale = 1 / xp.sqrt(variance + eps)
    xhat = (x - mean) * scale
    h = slope_gate(xp, xhat * gamma + beta, g, slope)
    dbeta = total(h, 0)
    dgamma = total(h * xhat, 0)
    rows = x.shape[0]
    return gamma * scale * (h - dbeta / rows - xhat * (dgamma / rows)), dgamma, dbeta


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


KERNELS = (
    matmul, dense, conv2d, conv2d_input_grad, conv2d_weight_grad, slope_gate, gate_and_sum,
    batch_norm, batch_norm_grad, adam, sgd, rmsprop,
)  # fmt: skip
