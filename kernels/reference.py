"""Every kernel in plain array code, on any array library with NumPy's names: the definition of each.

`xp` is the array library (numpy or cupy). Fast implementations have the same signatures without it. A kernel either
returns new arrays, or writes the same numbers into `out`, a row-major array or a tuple of them that shares no memory
with its operands, and returns that; or it changes its first argument, and others that it names, in place.
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


def _given(out, result):
    """`result`, an array or a tuple of arrays, in the memory `out`; itself if that is None."""
    if out is None:
        return result
    for target, value in zip(out, result, strict=True) if isinstance(result, tuple) else [(out, result)]:
        target[...] = value
    return out


def matmul(xp, a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b) for matrices, where op transposes if its flag is set; (M, K) and (K, N) give (M, N)."""
    return _given(out, (a.T if transpose_a else a) @ (b.T if transpose_b else b))


def dense(xp, x, w, b, slope, out=None):
    """leaky(x @ w + b): x (M, K), w (K, N), b (N,); slope 1 leaves the sum as it is."""
    return _given(out, _bent(xp, x @ w, b, slope))


def conv2d(xp, x, w, b, slope, geometry, packed=None, out=None):
    """leaky(cross-correlation of x with w, plus b): x (N, H, W, in), w (kh, kw, in, out), b (out,) or None.

    y[n, i, j] = sum over taps (u, v) of padded x[n, i * down + u, j * across + v] @ w[u, v].
    """
    y = None
    padded = _padded(xp, x, geometry)
    for (u, v), window in _windows(geometry):
        term = padded[window] @ w[u, v]
        y = term if y is None else y + term
    return _given(out, _bent(xp, y, b, slope))


def conv2d_input_grad(xp, g, w, b, slope, geometry, packed=None, out=None):
    """leaky(the derivative of <g, conv2d(x, w)> in x, plus b): the transposed convolution.

    g (N, out rows, out columns, out), w (kh, kw, in, out), b (in,) or None; gives (N, H, W, in).
    """
    (top, _), (left, _) = geometry.padding
    height, width = geometry.size
    padded = xp.zeros((g.shape[0], *geometry.padded, w.shape[2]), g.dtype)
    for (u, v), window in _windows(geometry):
        padded[window] += g @ w[u, v].T
    return _given(out, _bent(xp, padded[:, top : top + height, left : left + width], b, slope))


def conv2d_weight_grad(xp, x, g, geometry, out=None):
    """The derivative of <g, conv2d(x, w)> in w, (kh, kw, in, out)."""
    padded = _padded(xp, x, geometry)
    taps = [xp.tensordot(padded[window], g, ((0, 1, 2), (0, 1, 2))) for _, window in _windows(geometry)]
    return _given(out, xp.stack(taps).reshape(*geometry.kernel, x.shape[-1], g.shape[-1]))


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


def slope_gate(xp, x, v, slope, out=None):
    """v where x > 0, slope * v elsewhere: LeakyReLU where v = x, its derivative times v elsewhere.

    A slope of 0 makes 0 of any v where x <= 0, of infinite ones too, which times 0 are NaN.
    """
    return _given(out, xp.where(x > 0, v, v * slope) if slope else xp.where(x <= 0, slope, v))


def bias_act_grad(xp, x, v, slope, out=None):
    """(gated, sums): gated = slope_gate(x, v) for matrices (rows, columns), and its sum over the rows."""
    gated = slope_gate(xp, x, v, slope)
    return _given(out, (gated, total(gated, 0)))


def batch_norm(xp, x, gamma, beta, eps, slope, out=None):
    """Normalise each column of x (rows, channels), scale by gamma, shift by beta, bend: (y, mean, variance).

    The variance is the biased one (divided by the number of rows), as in Ioffe and Szegedy, 2015, Algorithm 1.
    """
    mean = x[0] + total(x - x[0], 0) / len(x)  # sums of what lies around 0 keep their digits, however large the mean is
    centred = x - mean
    variance = total(centred * centred, 0) / len(x)
    y = _bent(xp, centred * (1 / xp.sqrt(variance + eps)) * gamma, beta, slope)
    return _given(out, (y, mean, variance))


def batch_norm_grad(xp, g, x, gamma, beta, mean, variance, eps, slope, out=None):
    """The derivatives (dx, dgamma, dbeta) of <g, y> for y of `batch_norm`."""
    scale = 1 / xp.sqrt(variance + eps)
    xhat = (x - mean) * scale
    h = slope_gate(xp, xhat * gamma + beta, g, slope)
    dbeta = total(h, 0)
    dgamma = total(h * xhat, 0)
    rows = x.shape[0]
    dx = gamma * scale * (h - dbeta / rows - xhat * (dgamma / rows))
    return _given(out, (dx, dgamma, dbeta))


def adam(xp, p, g, bounds, m, v, first_bad, numbers, beta1, beta2, eps):
    """One step of Adam (Kingma and Ba, 2015, Algorithm 1), in place on the flat buffers p, m and v.

    `g` holds all gradients, each in the place of its parameter: numbers bounds[k, 0] up to bounds[k, 1] are those of
    parameter k. `first_bad[k]` (-1 so far) becomes the step when its gradient is not finite. `numbers` are those that
    change from step to step, in float64: [step, which counts from 1; rate / (1 - beta1**step); 1 - beta2**step;
    (1 - beta2**step)**-0.5, for implementations that multiply by it].
    """
    rounded = numbers.astype(str(p.dtype))
    for part in _parts(xp, g, bounds, first_bad, numbers):
        m[part] = beta1 * m[part] + (1 - beta1) * g[part]
        v[part] = beta2 * v[part] + (1 - beta2) * g[part] * g[part]
        p[part] -= rounded[1] * m[part] / (xp.sqrt(v[part] / rounded[2]) + eps)


def sgd(xp, p, g, bounds, velocity, first_bad, numbers, momentum):
    """One step of gradient descent with momentum (Polyak, 1964): v = momentum v + g, p = p - rate v; in place.

    `numbers` are [step, rate]; the rest as in `adam`.
    """
    rate = numbers.astype(str(p.dtype))[1]
    for part in _parts(xp, g, bounds, first_bad, numbers):
        velocity[part] = momentum * velocity[part] + g[part]
        p[part] -= rate * velocity[part]


def rmsprop(xp, p, g, bounds, v, first_bad, numbers, decay, eps):
    """One step of RMSprop (Tieleman and Hinton, 2012): v = decay v + (1 - decay) g^2, p -= rate g / (sqrt(v) + eps).

    `numbers` are [step, rate]; the rest as in `adam`.
    """
    rate = numbers.astype(str(p.dtype))[1]
    for part in _parts(xp, g, bounds, first_bad, numbers):
        v[part] = decay * v[part] + (1 - decay) * g[part] * g[part]
        p[part] -= rate * g[part] / (xp.sqrt(v[part]) + eps)


def _parts(xp, g, bounds, first_bad, numbers):
    """The place of each parameter, once it has been noted whether its gradient is finite."""
    for k, (start, stop) in enumerate(bounds.tolist()):
        bad_now = (first_bad[k] < 0) & ~xp.isfinite(g[start:stop]).all()
        first_bad[k] = xp.where(bad_now, numbers[0], first_bad[k])  # decided on the device: nothing is read back
        yield slice(start, stop)


def update_running_statistics(xp, running, value, momentum):
    """running = momentum * running + (1 - momentum) * value, in place: the running statistics of batch norm."""
    running[...] = momentum * running + (1 - momentum) * value


def lerp(xp, mean, value, numbers):
    """mean = mean + (value - mean) * share, in place, with share = numbers[0], in float64."""
    mean += (value - mean) * numbers.astype(str(mean.dtype))[0]


def contiguous(xp, x, out=None):
    """The same numbers in row-major order, in memory of their own."""
    out = xp.empty(x.shape, x.dtype) if out is None else out
    out[...] = x
    return out


def assign(xp, target, value):
    """target = value, in place."""
    target[...] = value


def record_nonfinite(xp, g, bounds, first_bad, numbers):
    """Note in `first_bad`, as the optimisers do, which gradients in the flat buffer g are not finite."""
    for _ in _parts(xp, g, bounds, first_bad, numbers):
        pass


def clip(xp, values, limit):
    """values = what lies nearest to them in [-limit, limit], in place."""
    xp.clip(values, -limit, limit, out=values)


KERNELS = (
    matmul, dense, conv2d, conv2d_input_grad, conv2d_weight_grad, slope_gate, bias_act_grad,
    batch_norm, batch_norm_grad, adam, sgd, rmsprop, record_nonfinite, clip, update_running_statistics, lerp,
    contiguous, assign,
)  # fmt: skip
