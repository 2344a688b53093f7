"""The definition of every kernel, in plain array code for any array library with NumPy's function names.

`xp` is the array library (numpy or cupy). Fast implementations have the same signatures without it. There are two
kinds of kernels. Most return new arrays; they take `out`, a row-major array or a tuple of arrays that shares no memory
with the operands, and then write the same numbers there and return `out`. The others change their first argument, and
further arguments that they name, in place.
"""

from __future__ import annotations

from minigan_kernels.sums import total

ARRAYS = None  # arrays of any library


def unavailable():
    """None: plain array code runs everywhere."""
    return None


def describe():
    """No facts: the reference depends on nothing but the array library."""
    return {}


def _written_to(out, result):
    """Copy `result`, an array or a tuple of arrays, into `out` and return `out`; return `result` if `out` is None."""
    if out is None:
        return result
    for target, value in zip(out, result, strict=True) if isinstance(result, tuple) else [(out, result)]:
        target[...] = value
    return out


def matmul(xp, a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b) for matrices, where op transposes if its flag is set; (M, K) and (K, N) give (M, N)."""
    return _written_to(out, (a.T if transpose_a else a) @ (b.T if transpose_b else b))


def dense(xp, x, w, b, slope, out=None):
    """leaky_relu(x @ w + b): x (M, K), w (K, N), b (N,); a slope of 1 means no activation."""
    return _written_to(out, _bias_act(xp, x @ w, b, slope))


def conv2d(xp, x, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(cross-correlation of x with w, plus b): x (N, H, W, in), w (kh, kw, in, out), b (out,) or None.

    y[n, i, j] = sum over taps (u, v) of padded x[n, i * down + u, j * across + v] @ w[u, v].
    `packed` is a `PackedWeights` of w, where a fast implementation may keep w in a form of its own.
    """
    y = None
    padded = _padded(xp, x, geometry)
    for (u, v), window in _windows(geometry):
        term = padded[window] @ w[u, v]
        y = term if y is None else y + term
    return _written_to(out, _bias_act(xp, y, b, slope))


def conv2d_input_grad(xp, g, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(gradient of <g, conv2d(x, w)> with respect to x, plus b): the transposed convolution.

    g (N, output rows, output columns, out), w (kh, kw, in, out), b (in,) or None; returns (N, H, W, in).
    """
    (top, _), (left, _) = geometry.padding
    height, width = geometry.size
    padded = xp.zeros((g.shape[0], *geometry.padded, w.shape[2]), g.dtype)
    for (u, v), window in _windows(geometry):
        padded[window] += g @ w[u, v].T
    return _written_to(out, _bias_act(xp, padded[:, top : top + height, left : left + width], b, slope))


def conv2d_weight_grad(xp, x, g, geometry, out=None):
    """The gradient of <g, conv2d(x, w)> with respect to w, (kh, kw, in, out)."""
    padded = _padded(xp, x, geometry)
    taps = [xp.tensordot(padded[window], g, ((0, 1, 2), (0, 1, 2))) for _, window in _windows(geometry)]
    return _written_to(out, xp.stack(taps).reshape(*geometry.kernel, x.shape[-1], g.shape[-1]))


def _padded(xp, x, geometry):
    return xp.pad(x, ((0, 0), *geometry.padding, (0, 0)))


def _windows(geometry):
    """Yield each tap (u, v) of the kernel with the index of the padded pixels that it is multiplied with."""
    (rows, columns), (down, across) = geometry.out, geometry.stride
    for u in range(geometry.kernel[0]):
        for v in range(geometry.kernel[1]):
            yield (u, v), (slice(None), slice(u, u + down * rows, down), slice(v, v + across * columns, across))


def _bias_act(xp, y, b, slope):
    """leaky_relu(y + b); `b` may be None, and a slope of 1 means no activation."""
    y = y if b is None else y + b
    return y if slope == 1 else slope_gate(xp, y, y, slope)


def slope_gate(xp, x, v, slope, out=None):
    """v where x > 0, slope * v elsewhere: the VJP of LeakyReLU at x for the cotangent v; LeakyReLU itself if v is x.

    With a slope of 0 the result is 0 wherever x <= 0, even for an infinite v, whose product with 0 would be NaN.
    """
    return _written_to(out, xp.where(x > 0, v, v * slope) if slope else xp.where(x <= 0, slope, v))


def bias_act_grad(xp, x, v, slope, out=None):
    """(dx, db): the VJP of bias + LeakyReLU on matrices (rows, columns), for the cotangent v.

    dx = slope_gate(x, v), and db is the sum of dx over its rows. x is the sum before LeakyReLU or, for a slope of at
    least 0, the output: all that matters is where it is positive.
    """
    dx = slope_gate(xp, x, v, slope)
    return _written_to(out, (dx, total(dx, 0)))


def bias_grad(xp, v, out=None):
    """The sum of a matrix over its rows: the gradient of a bias that was added to each row, for the cotangent v."""
    return _written_to(out, total(v, 0))


def tanh_grad(xp, y, v, out=None):
    """v * (1 - y * y): the VJP of the hyperbolic tangent for its result y and the cotangent v, of one shape."""
    return _written_to(out, v * (1 - y * y))


def batch_norm(xp, x, gamma, beta, eps, slope, out=None):
    """Normalise each column of x (rows, channels), scale by gamma, shift by beta, apply LeakyReLU.

    Returns (y, mean, variance). The variance is the biased one (divided by the number of rows), as in Ioffe and
    Szegedy, 2015, Algorithm 1.
    """
    # Subtracting the first row keeps the summands near 0: their sum loses no digits, however large the mean is.
    mean = x[0] + total(x - x[0], 0) / len(x)
    centred = x - mean
    variance = total(centred * centred, 0) / len(x)
    y = _bias_act(xp, centred * (1 / xp.sqrt(variance + eps)) * gamma, beta, slope)
    return _written_to(out, (y, mean, variance))


def batch_norm_grad(xp, g, x, gamma, beta, mean, variance, eps, slope, out=None):
    """The gradients (dx, dgamma, dbeta) of <g, y> for y of `batch_norm`."""
    scale = 1 / xp.sqrt(variance + eps)
    xhat = (x - mean) * scale
    h = slope_gate(xp, xhat * gamma + beta, g, slope)
    dbeta = total(h, 0)
    dgamma = total(h * xhat, 0)
    rows = x.shape[0]
    dx = gamma * scale * (h - dbeta / rows - xhat * (dgamma / rows))
    return _written_to(out, (dx, dgamma, dbeta))


def adam(xp, p, g, bounds, m, v, first_nonfinite, scalars, beta1, beta2, eps):
    """One step of Adam (Kingma and Ba, 2015, Algorithm 1), in place on the flat buffers p, m and v.

    The flat buffer g holds all gradients, each at the place of its parameter: elements bounds[k, 0] to bounds[k, 1] - 1
    belong to parameter k; g, m and v are 0 elsewhere. `first_nonfinite[k]` is the first step in which the gradient of
    parameter k was not finite, or -1; this call updates it. `scalars` holds the numbers that change from step to step,
    in float64: [step, counted from 1; learning_rate / (1 - beta1**step); 1 - beta2**step; (1 - beta2**step)**-0.5, for
    implementations that multiply by it].
    """
    record_nonfinite(xp, g, bounds, first_nonfinite, scalars)
    rounded = scalars.astype(str(p.dtype))
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    p -= rounded[1] * m / (xp.sqrt(v / rounded[2]) + eps)


def sgd(xp, p, g, bounds, velocity, first_nonfinite, scalars, momentum):
    """One step of SGD with momentum (Polyak, 1964), in place: v = momentum v + g, p = p - learning_rate v.

    `scalars` is [step, learning_rate]; the other arguments are as in `adam`.
    """
    record_nonfinite(xp, g, bounds, first_nonfinite, scalars)
    velocity[...] = momentum * velocity + g
    p -= scalars.astype(str(p.dtype))[1] * velocity


def rmsprop(xp, p, g, bounds, v, first_nonfinite, scalars, decay, eps):
    """One step of RMSprop (Tieleman and Hinton, 2012), in place.

    v = decay v + (1 - decay) g^2, p = p - learning_rate g / (sqrt(v) + eps). `scalars` is [step, learning_rate]; the
    other arguments are as in `adam`.
    """
    record_nonfinite(xp, g, bounds, first_nonfinite, scalars)
    v[...] = decay * v + (1 - decay) * g * g
    p -= scalars.astype(str(p.dtype))[1] * g / (xp.sqrt(v) + eps)


def record_nonfinite(xp, g, bounds, first_nonfinite, scalars):
    """Record in `first_nonfinite`, as the optimisers do, which gradients in the flat buffer g are not finite."""
    nonfinite_now = (first_nonfinite < 0) & _has_nonfinite(xp, g, bounds)
    first_nonfinite[...] = xp.where(nonfinite_now, scalars[0], first_nonfinite)  # without a device-to-host copy


def _has_nonfinite(xp, g, bounds):
    """Whether each gradient in the flat buffer g has an element that is not finite."""
    nonfinite = ~xp.isfinite(g)
    if xp.__name__ == "numpy":
        return xp.asarray([nonfinite[start:stop].any() for start, stop in bounds.tolist()])
    # On a device, reading the bounds would wait for it, so elements are counted, which takes longer.
    before = xp.zeros(g.size + 1, dtype="int64")
    xp.cumsum(nonfinite, out=before[1:])
    return before[bounds[:, 1]] > before[bounds[:, 0]]


def update_running_statistics(xp, running, value, momentum):
    """running = momentum * running + (1 - momentum) * value, in place: the running statistics of batch norm."""
    running[...] = momentum * running + (1 - momentum) * value


def lerp(xp, mean, value, weight):
    """Linear interpolation in place: mean = mean + (value - mean) * weight[0], with the weight in float64."""
    mean += (value - mean) * weight.astype(str(mean.dtype))[0]


def contiguous(xp, x, out=None):
    """A copy of x in row-major order."""
    out = xp.empty(x.shape, x.dtype) if out is None else out
    out[...] = x
    return out


def assign(xp, target, value):
    """target = value, in place."""
    target[...] = value


def clip(xp, values, limit):
    """Clip `values` to [-limit, limit], in place."""
    xp.clip(values, -limit, limit, out=values)


def sum(xp, x, axis, keepdims, out=None):
    """x summed over `axis`, a number, a tuple, or None for all axes, which keep extent 1 with `keepdims`; an array.

    Its rounding error hardly grows with the number of summands.
    """
    return _written_to(out, xp.asarray(total(x, axis, keepdims)))


KERNELS = (
    matmul, dense, conv2d, conv2d_input_grad, conv2d_weight_grad, slope_gate, bias_act_grad, bias_grad,
    tanh_grad, batch_norm, batch_norm_grad, adam, sgd, rmsprop, record_nonfinite, clip, update_running_statistics, lerp,
    contiguous, assign, sum,
)  # fmt: skip
