"""Rules of convolutions and poolings as loops over the kernel. Images (N, H, W, C), weights (kh, kw, in, out)."""

from __future__ import annotations

import numpy as np

from mutants.linear import drawn
from mutants.rule import UNNAMED, Arrays, Rule, extent, wrong

_OFF = ("shifted", "gate", "missing gate", UNNAMED)


def _padded(x, padding):
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _cropped(x, padding):
    return x[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding]


def _taps(size, outputs, stride):
    """(i, j, index of the padded image) for each kernel entry: the pixels that it multiplies."""
    for i in range(size[0]):
        for j in range(size[1]):
            yield (
                i,
                j,
                (slice(None), slice(i, i + stride * outputs[0], stride), slice(j, j + stride * outputs[1], stride)),
            )


def _outputs(x, w, stride, padding):
    return tuple((n + 2 * padding - k) // stride + 1 for n, k in zip(x.shape[1:3], w.shape[:2], strict=True))


def conv(x, w, stride, padding):
    outputs, picture = _outputs(x, w, stride, padding), _padded(x, padding)
    y = np.zeros((len(x), *outputs, w.shape[3]), np.result_type(x, w))
    for i, j, place in _taps(w.shape, outputs, stride):
        y += picture[place] @ w[i, j]
    return y


def spread(u, w, shape, stride, padding):
    """The derivative of conv by x of `shape`; also the transposed convolution of u."""
    canvas = np.zeros((shape[0], shape[1] + 2 * padding, shape[2] + 2 * padding, w.shape[2]), np.result_type(u, w))
    for i, j, place in _taps(w.shape, u.shape[1:3], stride):
        canvas[place] += u @ w[i, j].T
    return _cropped(canvas, padding)


def correlated(x, u, shape, stride, padding):
    """The derivative of conv by w of `shape`."""
    g, picture = np.zeros(shape, np.result_type(x, u)), _padded(x, padding)
    for i, j, place in _taps(shape, u.shape[1:3], stride):
        g[i, j] = np.tensordot(picture[place], u, ((0, 1, 2), (0, 1, 2)))
    return g


def conv_vjp(x, w, u, stride, padding):
    return spread(u, w, x.shape, stride, padding), correlated(x, u, w.shape, stride, padding)


def _moved(x, rows, columns=0):
    """x shifted by whole pixels, with zeros at the free sides."""
    y = np.zeros_like(x)
    target = tuple(slice(max(d, 0), x.shape[a] + min(d, 0)) for a, d in ((1, rows), (2, columns)))
    source = tuple(slice(max(-d, 0), x.shape[a] + min(-d, 0)) for a, d in ((1, rows), (2, columns)))
    y[(slice(None), *target)] = x[(slice(None), *source)]
    return y


def _conv_draw(stride, padding, channels=None):
    def draw(rng, most):
        kernel, side = int(rng.integers(2, 4)), extent(rng, min(most, 7), 4)
        inputs, outs = (channels, channels) if channels else (extent(rng, min(most, 4), 2), extent(rng, min(most, 4)))
        shapes = (extent(rng, 3), side, side + 1, inputs), (kernel, kernel, inputs, outs)
        return drawn(rng, *shapes), {"stride": stride, "padding": padding}

    return draw


def _conv_mistakes(*, alike: bool):
    """The mistakes of a convolution; alike: whether it has as many output as input channels."""

    def changed(dx=lambda g, *a, **s: g, dw=lambda g, *a, **s: g):
        def vjp(x, w, u, **static):
            gx, gw = conv_vjp(x, w, u, **static)
            return dx(gx, x, w, u, **static), dw(gw, x, w, u, **static)

        return vjp

    def flipped(w):
        return w[::-1, ::-1]

    mistakes = [
        wrong("flipped", "kernel flipped in x's",
              changed(dx=lambda g, x, w, u, **s: spread(u, flipped(w), x.shape, **s)), *_OFF),
        wrong("flipped", "w's flipped", changed(dw=lambda g, *a, **s: flipped(g)), "flipped", "transposed"),
        wrong("flipped", "w's flipped in one axis", changed(dw=lambda g, *a, **s: g[:, ::-1]), "flipped"),
        wrong("off by one", "x's one row down", changed(dx=lambda g, *a, **s: _moved(g, 1)), *_OFF),
        wrong("off by one", "x's one column left", changed(dx=lambda g, *a, **s: _moved(g, 0, -1)), *_OFF),
        wrong("off by one", "w's from pictures one row off",
              changed(dw=lambda g, x, w, u, **s: correlated(_moved(x, 1), u, w.shape, **s)), *_OFF),
        wrong("off by one", "last row of outputs left out of w's",
              changed(dw=lambda g, x, w, u, **s: correlated(x, _without_last(u), w.shape, **s)), *_OFF),
        wrong("off by one", "last tap left out of x's",
              changed(dx=lambda g, x, w, u, **s: spread(u, _without_tap(w), x.shape, **s)), *_OFF),
        wrong("factor", "w's averaged over the batch and more",
              changed(dw=lambda g, x, w, u, **s: g / u[..., 0].size), "sum taken as mean", "factor", "factor 2"),
        wrong("missing term", "w's from the first picture only",
              changed(dw=lambda g, x, w, u, **s: correlated(x[:1], u[:1] * 1.5, w.shape, **s)), UNNAMED, "factor"),
        wrong("detached", "no derivative for w", changed(dw=lambda g, *a, **s: 0 * g), "detached"),
    ]  # fmt: skip
    if alike:
        mistakes += [
            wrong("transposed", "channels exchanged in x's",
                  changed(dx=lambda g, x, w, u, **s: spread(u, w.swapaxes(2, 3), x.shape, **s)), *_OFF),
            wrong("transposed", "w's channels exchanged", changed(dw=lambda g, *a, **s: g.swapaxes(2, 3)),
                  "transposed"),
            wrong("transposed", "w's rows and columns exchanged", changed(dw=lambda g, *a, **s: g.swapaxes(0, 1)),
                  "transposed"),
        ]  # fmt: skip
    return tuple(mistakes)


def _without_last(u):
    u = u.copy()
    u[:, -1] = 0
    return u


def _without_tap(w):
    w = w.copy()
    w[-1, -1] = 0
    return w


def _transposed_shape(x, w, stride, padding):
    return (len(x), *(stride * (n - 1) + k - 2 * padding for n, k in zip(x.shape[1:3], w.shape[:2], strict=True)))


def transposed(x, w, stride, padding):
    """w: (kh, kw, out, in)."""
    return spread(x, w, _transposed_shape(x, w, stride, padding), stride, padding)


def transposed_vjp(x, w, u, stride, padding):
    return conv(u, w, stride, padding), correlated(u, x, w.shape, stride, padding)


def _transposed_draw(stride, padding):
    def draw(rng, most):
        side, c = extent(rng, min(most, 5), 3), extent(rng, min(most, 4), 2)
        return drawn(rng, (extent(rng, 2), side, side, c), (3, 3, c, c)), {"stride": stride, "padding": padding}

    return draw


_TRANSPOSED = (
    wrong("flipped", "kernel flipped in x's", lambda x, w, u, **s: (conv(u, w[::-1, ::-1], **s),
          transposed_vjp(x, w, u, **s)[1]), *_OFF),
    wrong("transposed", "w's channels exchanged", lambda x, w, u, **s: (conv(u, w, **s),
          transposed_vjp(x, w, u, **s)[1].swapaxes(2, 3)), "transposed"),
    wrong("off by one", "x's from a cotangent one row off", lambda x, w, u, **s: (conv(_moved(u, 1), w, **s),
          transposed_vjp(x, w, u, **s)[1]), *_OFF),
    wrong("transposed", "channels exchanged in x's", lambda x, w, u, **s: (conv(u, w.swapaxes(2, 3), **s),
          transposed_vjp(x, w, u, **s)[1]), *_OFF),
    wrong("flipped", "w's flipped", lambda x, w, u, **s: (conv(u, w, **s),
          transposed_vjp(x, w, u, **s)[1][::-1, ::-1]), "flipped"),
)  # fmt: skip


def _blocks(x, k):
    n, h, w, c = x.shape
    return x.reshape(n, h // k, k, w // k, k, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // k, w // k, c, k * k)


def _unblocked(b, k):
    n, h, w, c, _ = b.shape
    return b.reshape(n, h, w, c, k, k).transpose(0, 1, 4, 2, 5, 3).reshape(n, h * k, w * k, c)


def _pictures(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    h, w, c = (extent(rng, min(most, 5), least) for least in (2, 3, 2))
    return drawn(rng, (extent(rng, 2), 2 * h, 2 * w, c)), {"k": 2}


def _even(u, k):
    return np.repeat(np.repeat(u, k, 1), k, 2)


def _max_pool_vjp(x, u, k, place=lambda b: b.argmax(-1)):
    b = _blocks(x, k)
    chosen = np.arange(k * k) == place(b)[..., None]
    return (_unblocked(u[..., None] * chosen, k),)


def _tied_blocks(rng, arrays, static, distance):
    b = np.sort(_blocks(arrays[0], static["k"]), -1)
    b[..., 0] = b[..., -1] - distance
    return (_unblocked(rng.permuted(b, axis=-1), static["k"]),)


RULES = [
    *(
        Rule(f"conv stride {stride} padding {padding}", "x w", conv, conv_vjp,
             _conv_draw(stride, padding, 3 if alike else None), _conv_mistakes(alike=alike))
        for stride, padding, alike in ((1, 0, False), (1, 1, True), (2, 1, False))
    ),
    *(
        Rule(f"transposed conv stride {stride} padding {padding}", "x w", transposed, transposed_vjp,
             _transposed_draw(stride, padding), _TRANSPOSED if stride == 2 else ())
        for stride, padding in ((1, 0), (2, 1))
    ),
    Rule(
        "average pool", "x", lambda x, k: _blocks(x, k).mean(-1), lambda x, u, k: (_even(u, k) / k**2,), _pictures,
        (
            wrong("factor", "1/k^2 forgotten", lambda x, u, k: (_even(u, k),), "factor", "mean taken as sum"),
            wrong("off by one", "one row down", lambda x, u, k: (_moved(_even(u, k), 1) / k**2,), *_OFF),
            wrong("factor", "1/k instead of 1/k^2", lambda x, u, k: (_even(u, k) / k,), "factor 1/2"),
        ),
    ),
    Rule(
        "max pool", "x", lambda x, k: _blocks(x, k).max(-1), _max_pool_vjp, _pictures,
        (
            wrong("missing gate", "to all four", lambda x, u, k: (_even(u, k),), "missing gate"),
            wrong("gate", "to the first", lambda x, u, k: _max_pool_vjp(x, u, k, lambda b: 0 * b.argmax(-1)),
                  "gate", "missing gate"),
            wrong("gate", "to the smallest", lambda x, u, k: _max_pool_vjp(x, u, k, lambda b: b.argmin(-1)),
                  "gate", "missing gate"),
            wrong("factor", "averaged as well", lambda x, u, k: (_max_pool_vjp(x, u, k)[0] / k**2,), "factor",
                  "sum taken as mean"),
        ),
        kink=_tied_blocks,
    ),
    Rule(
        "upsample", "x", lambda x, k: _even(x, k), lambda x, u, k: (_blocks(u, k).sum(-1),), _pictures,
        (
            wrong("factor", "averaged, not summed", lambda x, u, k: (_blocks(u, k).mean(-1),),
                  "factor", "sum taken as mean"),
            wrong("missing term", "one of four only", lambda x, u, k: (u[:, ::k, ::k].copy(),), UNNAMED),
        ),
    ),
]  # fmt: skip
