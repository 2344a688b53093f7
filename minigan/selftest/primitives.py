"""Cases of every primitive and of the operations composed of them: functions and inputs, small and of odd shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan import autodiff, ops
from minigan.autodiff import Tensor, engine
from minigan.ops import pool, shape
from minigan.selftest.case import Case, CheckedFunction
from minigan.selftest.sampler import Sampler
from minigan_kernels.geometry import Geometry

Table = dict[str, list[tuple[Callable[..., Tensor], tuple[np.ndarray, ...]]]]

_DCGAN: dict[str, Any] = {"stride": 2, "padding": 1}
_ODD: dict[str, Any] = {"stride": (1, 2), "padding": ((0, 2), (1, 0))}
_SAME: dict[str, Any] = {"stride": 2, "padding": "same"}
_POOLED = Geometry((5, 4), (3, 2), (1, 2), ((1, 0), (0, 1)))
_CHOSEN = np.array([0, 3, 5, 1, 2, 4, 5, 0, 3, 3, 1, 0, 4, 2, 2, 1]).reshape(1, 4, 2, 2)  # which element of each window


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """A case of order 2 for each row of both tables."""
    for group, table in (("primitives", primitives), ("operations", composed)):
        for name, rows in table(seed, dtype).items():
            for number, (f, inputs) in enumerate(rows):
                yield Case(f"{group}/{name.lstrip('_')}/{number}", 2, functools.partial(CheckedFunction, f, inputs))


def primitives(seed: int = 0, dtype: str = "float64") -> Table:
    """(function, inputs), by the name of the primitive that computes the function's result."""
    d = Sampler(seed, "primitives", dtype)
    return {
        "add": [
            (ops.add, (d.signed(3, 5), d.signed(3, 5))),
            (ops.add, (d.signed(5), d.signed(2, 3, 5))),
            (ops.add, (d.signed(3, 1), d.signed(1, 5))),
            (ops.add, (d.signed(), d.signed(7))),
            (lambda x: 2 + x, (d.signed(3),)),
            (lambda x: x + x, (d.signed(3),)),
        ],
        "subtract": [
            (ops.subtract, (d.signed(3, 5), d.signed(5))),
            (ops.subtract, (d.signed(1, 1), d.signed(2, 3, 1))),
            (lambda x: 2.0 - x, (d.signed(3),)),
            (lambda x: x - 1, (d.signed(3),)),
        ],
        "multiply": [
            (ops.multiply, (d.signed(3, 5), d.signed(3, 5))),
            (ops.multiply, (d.signed(4, 1, 3), d.signed(5, 1))),
            (ops.multiply, (d.signed(), d.signed(2, 2))),
            (lambda x: x * x, (d.signed(3, 3),)),
            (lambda x: -3 * x, (d.signed(3),)),
        ],
        "divide": [
            (ops.divide, (d.signed(3, 5), d.signed(3, 5))),
            (ops.divide, (d.signed(2, 1), d.signed(3, 1, 4))),
            (lambda x: 2.0 / x, (d.signed(5),)),
            (lambda x: x / 4, (d.signed(5),)),
            (lambda x: x / x, (d.signed(5),)),
        ],
        "negative": [(ops.negative, (d.signed(3, 2),)), (ops.negative, (d.signed(),))],
        "_power": [
            (lambda x: x**3, (d.signed(3, 2),)),
            (lambda x: ops.power(x, -1.5), (d.positive(5),)),
            (lambda x: ops.power(x, 0.5), (d.positive(5),)),
            (lambda x: x**2, (d.array(0.0, 1.0, -2.0),)),
            (lambda x: x**1, (d.array(0.0, 1.0, -2.0),)),
            (lambda x: x**0, (d.array(0.0, 1.0, -2.0),)),
        ],
        "_tensor_power": [
            (ops.power, (d.positive(3, 5), d.signed(3, 5))),
            (ops.power, (d.positive(3, 1), d.signed(5))),
            (lambda x: 2.0**x, (d.signed(5),)),
            (lambda x: x**x, (d.positive(5),)),
            (lambda x: ops.power(x, np.asarray([3.0, 0.5], x.dtype)), (d.positive(4, 2),)),
        ],
        "exp": [(ops.exp, (d.signed(3, 5),))],
        "log": [(ops.log, (d.positive(3, 5),))],
        "sqrt": [(ops.sqrt, (d.positive(3, 5),))],
        "sign": [(ops.sign, (d.signed(3, 5),))],
        "absolute": [(ops.absolute, (d.signed(3, 5),)), (abs, (d.signed(4),))],
        "share_of_maximum": [
            (ops.share_of_maximum, d.pair_apart(3, 5)),
            (lambda x: ops.share_of_maximum(x, 0.0), (d.signed(3),)),
        ],
        "maximum": [
            (ops.maximum, d.pair_apart(3, 5)),
            (ops.maximum, (d.signed(4, 3), d.array(0.1, -0.1, 3.0))),
            (ops.maximum, (d.array([0.1], [-0.1]), d.signed(3))),
            (lambda x: ops.maximum(x, 0.0), (d.signed(5),)),
            (lambda x: ops.maximum(0.0, x), (d.signed(5),)),
        ],
        "_where": [
            (lambda a, b: ops.where(np.eye(3, 5), a, b), (d.signed(3, 5), d.signed(3, 5))),
            (ops.where, (d.array(0.0, 1.0, -2.0), d.signed(4, 3), d.signed(4, 1))),
            (lambda x: ops.where(np.arange(3) > 0, x, 0.5), (d.signed(2, 3),)),
            (lambda x: ops.where(x, 1, -1.0), (d.array(0.0, 1.0, -2.0),)),
        ],
        "sin": [(ops.sin, (d.signed(3, 5) * 3,))],
        "cos": [(ops.cos, (d.signed(3, 5) * 3,))],
        "tanh": [(ops.tanh, (d.signed(3, 5),))],
        "_tanh_grad": [(ops.tanh_grad, (d.signed(3, 5), d.signed(3, 5)))],
        "sigmoid": [(ops.sigmoid, (d.signed(3, 5) * 3,))],
        "softplus": [(ops.softplus, (d.signed(3, 5) * 3,))],
        "_slope_gate": [
            (lambda x, v, s=s: ops.slope_gate(x, v, slope=s), (d.signed(3, 5), d.signed(3, 5))) for s in (0.0, 0.2, 1.0)
        ],
        "_leaky_relu": [
            (ops.leaky_relu, (d.signed(3, 5),)),
            (ops.relu, (d.signed(3, 5),)),
            (lambda x: ops.leaky_relu(x, slope=-0.5), (d.signed(2, 2, 3),)),
            (lambda x: ops.leaky_relu(ops.transpose(x)), (d.signed(4, 3),)),
        ],
        "_matmul": [
            (lambda a, b, s=s, t=t: ops.matmul(a, b, transpose_a=s, transpose_b=t), (d.signed(*m), d.signed(*n)))
            for s, t, m, n in (
                (False, False, (3, 5), (5, 2)),
                (True, False, (5, 3), (5, 2)),
                (False, True, (3, 5), (2, 5)),
                (True, True, (5, 3), (2, 5)),
                (False, True, (1, 7), (9, 7)),
                (True, True, (1, 1), (3, 1)),
                (False, False, (7, 1), (1, 65)),
            )
        ]
        + [
            (lambda a, b, s=s, t=t: ops.matmul(a, b, transpose_a=s, transpose_b=t), (d.signed(*m), d.signed(*n)))
            for s, t, m, n in (
                (False, False, (2, 3, 5), (2, 5, 4)),
                (True, False, (2, 5, 3), (2, 5, 4)),
                (False, True, (3, 1, 7), (3, 9, 7)),
                (True, True, (2, 5, 3), (2, 4, 5)),
            )
        ]
        + [(lambda a: a @ a, (d.signed(3, 3),)), (lambda a: ops.matmul(a, a, transpose_a=True), (d.signed(3, 3),))],
        "_dense": [
            (lambda x, w, b, s=s: ops.dense(x, w, b, slope=s), d.for_dense(*extents))
            for s in (0.0, 0.2, 1.0)
            for extents in ((5, 3, 4), (1, 2, 7))
        ],
        "_conv2d": [
            (lambda x, w, s=s: ops.conv2d(x, w, **s), (d.signed(*image), d.signed(*weight)))
            for s, image, weight in (
                (_DCGAN, (2, 6, 4, 3), (4, 4, 3, 5)),
                (_DCGAN | {"precision": "fast"}, (1, 5, 6, 2), (4, 4, 2, 3)),
                (_ODD, (2, 3, 5, 2), (3, 2, 2, 3)),
                (_SAME, (1, 5, 6, 2), (3, 5, 2, 1)),
                ({}, (3, 4, 4, 2), (4, 4, 2, 3)),
            )
        ],
        "_input_grad": [
            (lambda x, w, s=s: ops.conv_transpose2d(x, w, **s), (d.signed(*image), d.signed(*weight)))
            for s, image, weight in (
                (_DCGAN, (2, 3, 2, 3), (4, 4, 5, 3)),
                (_DCGAN | {"precision": "fast"}, (1, 2, 3, 2), (4, 4, 3, 2)),
                (_ODD, (2, 3, 2, 2), (3, 2, 3, 2)),
                (_SAME | {"output_size": (5, 4)}, (1, 3, 2, 2), (3, 5, 1, 2)),
                ({"padding": "valid"}, (3, 1, 1, 2), (4, 4, 3, 2)),
            )
        ]
        + [
            (
                lambda g, w: ops.conv2d_input_grad(g, w, size=(7, 6), **_DCGAN),
                (d.signed(1, 3, 3, 2), d.signed(4, 4, 3, 2)),
            ),
        ],
        "_weight_grad": [
            (
                lambda x, g, k=k, s=s: ops.conv2d_weight_grad(x, g, kernel=k, **s),
                (d.signed(*image), d.signed(*result)),
            )
            for k, s, image, result in (
                ((4, 4), _DCGAN, (2, 6, 4, 3), (2, 3, 2, 5)),
                ((3, 2), _ODD, (2, 3, 5, 2), (2, 3, 3, 3)),
                ((3, 5), _SAME, (1, 5, 6, 2), (1, 3, 3, 1)),
                ((4, 4), {}, (3, 4, 4, 2), (3, 1, 1, 3)),
            )
        ],
        "_fused": [
            (
                lambda x, w, b, f=f, s=s, a=a: f(x, w, b, slope=a, **s),
                d.for_conv(image, weight, transposed=f is not ops.conv2d),
            )
            for a in (0.0, 0.2, 1.0)
            for f, s, image, weight in (
                (ops.conv2d, _DCGAN, (2, 4, 5, 3), (4, 4, 3, 4)),
                (ops.conv2d, _ODD, (2, 3, 4, 2), (3, 2, 2, 3)),
                (ops.conv_transpose2d, _DCGAN, (2, 2, 3, 3), (4, 4, 4, 3)),
                (ops.conv_transpose2d, _SAME, (1, 2, 3, 2), (3, 3, 3, 2)),
            )
        ]
        + [
            (
                lambda x, w, f=f, s=s, a=a: f(x, w, slope=a, **s),
                d.for_conv(image, weight, transposed=f is not ops.conv2d)[:2],
            )
            for a in (0.0, 0.2)
            for f, s, image, weight in (
                (ops.conv2d, _DCGAN | {"precision": "fast"}, (1, 5, 4, 2), (4, 4, 2, 3)),
                (ops.conv2d, _ODD, (2, 3, 4, 2), (3, 2, 2, 3)),
                (ops.conv_transpose2d, _DCGAN, (2, 2, 3, 3), (4, 4, 4, 3)),
                (ops.conv_transpose2d, _SAME, (1, 2, 3, 2), (3, 3, 3, 2)),
            )
        ],
        "_from_windows": [
            (lambda x: pool._from_windows(x, geometry=_POOLED), (d.signed(2, 5, 4, 3),)),
            (ops.max_pool2d, (d.distinct(2, 4, 6, 3),)),
            (lambda x: ops.max_pool2d(x, (2, 3), stride=(1, 2), padding=((1, 1), (0, 2))), (d.distinct(2, 3, 5, 2),)),
            (lambda x: ops.max_pool2d(x, 3, stride=2, padding="same"), (d.distinct(1, 5, 4, 2),)),
        ],
        "_to_windows": [
            (ops.upsample2d, (d.signed(2, 2, 3, 2),)),
            (lambda x: ops.upsample2d(x, (1, 3)), (d.signed(1, 3, 2, 2),)),
            (lambda g: pool._to_windows(g, geometry=_POOLED), (d.signed(2, *_POOLED.out, 3),)),
            (
                lambda g: pool._to_windows(g, Tensor(_CHOSEN.astype(str(g.dtype))), geometry=_POOLED),
                (d.signed(1, *_POOLED.out, 2),),
            ),
        ],
        "_batch_norm": [
            (lambda x, g, b: ops.batch_norm(x, g, b, eps=1e-3), (d.signed(6, 3), d.signed(3), d.signed(3))),
            (lambda x, g, b: ops.batch_norm(x, g, b, eps=1e-2), (d.signed(2, 3, 2, 5), d.signed(5), d.signed(5))),
            (lambda x, g, b: ops.batch_norm(x, g, b, eps=1e-3), (d.signed(4, 1), d.signed(1), d.signed(1))),
        ]
        + [
            (lambda x, g, b, s=s: ops.batch_norm(x, g, b, eps=1e-3, slope=s), d.for_norm(*extents))
            for s in (0.0, 0.2, -0.5)
            for extents in ((6, 3), (2, 3, 2, 5), (4, 1))
        ]
        + [(lambda x: ops.batch_norm(x, ops.sum(x, axis=0), x[0], eps=1e-3), (d.signed(5, 2),))],
        "_softmax": [(lambda x, a=a: ops.softmax(x, axis=a), (d.signed(3, 5),)) for a in (0, 1, -2)]
        + [(ops.softmax, (d.signed(7),)), (lambda x: ops.softmax(x, axis=1), (d.signed(2, 3, 4),))],
        "_share_of_largest": [
            (lambda x, a=a: ops.share_of_largest(x, axis=a), (d.distinct(3, 5),)) for a in (0, 1, -2)
        ],
        "_max": [
            (lambda x, a=a, k=k: ops.max(x, axis=a, keepdims=k), (d.distinct(3, 2, 4),))
            for a in (None, 0, -1, (0, 2), (-2,))
            for k in (False, True)
        ]
        + [(ops.max, (d.array(1.0, 3.0, 3.0),))],
        "_one_hot": [
            (lambda x: ops.one_hot(ops.sign(x) + 1.0, 3), (d.signed(4),)),
            (lambda x: ops.one_hot(ops.sign(x) + 2.0, 4, x.dtype), (d.signed(2, 2),)),
        ],
        "_mean_softplus": [(lambda x, s=s: ops.mean_softplus(x, s), (d.signed(3, 5),)) for s in (1, -1)]
        + [(ops.mean_softplus, (d.signed(1),))],
        "_logsumexp": [(lambda x, a=a: ops.logsumexp(x, axis=a), (d.signed(3, 5),)) for a in (0, 1, -1, -2)]
        + [(ops.logsumexp, (d.signed(7),)), (lambda x: ops.logsumexp(x, axis=1), (d.signed(2, 3, 4),))],
        "_sum": [
            (lambda x, a=a, k=k: ops.sum(x, axis=a, keepdims=k), (d.signed(2, 3, 5),))
            for a in (None, 0, -1, (0, 2), (-2, 0), (0, 1, 2), ())
            for k in (False, True)
        ]
        + [(ops.sum, (d.signed(),)), (ops.sum, (d.signed(1, 1),))],
        "_broadcast_to": [
            (lambda x: ops.broadcast_to(x, (4, 3, 5)), (d.signed(3, 1),)),
            (lambda x: ops.broadcast_to(x, (2, 3)), (d.signed(),)),
            (lambda x: ops.broadcast_to(x, (2, 3)), (d.signed(2, 3),)),
            (lambda x: ops.broadcast_to(x, (1, 3)), (d.signed(3),)),
        ],
        "_reshape": [
            (lambda x: ops.reshape(x, (5, -1)), (d.signed(2, 3, 5),)),
            (lambda x: ops.reshape(x, -1), (d.signed(2, 3),)),
            (lambda x: ops.reshape(x, ()), (d.signed(1),)),
            (lambda x: ops.reshape(ops.transpose(x), (2, 3)), (d.signed(2, 3),)),
        ],
        "_transpose": [
            (ops.transpose, (d.signed(2, 3, 5),)),
            (lambda x: ops.transpose(x, (2, 0, 1)), (d.signed(2, 3, 5),)),
            (lambda x: ops.transpose(x, (-1, 0, -2)), (d.signed(2, 3, 5),)),
            (ops.transpose, (d.signed(4),)),
        ],
        "_concatenate": [
            (lambda a, b, c: ops.concatenate([a, b, c]), (d.signed(2, 3), d.signed(1, 3), d.signed(4, 3))),
            (lambda a, b, c: ops.concatenate([a, b, c], axis=-1), (d.signed(2, 1), d.signed(2, 3), d.signed(2, 2))),
            (lambda a, b: ops.concatenate([a, b, a], axis=1), (d.signed(2, 1, 3), d.signed(2, 2, 3))),
            (lambda a: ops.concatenate((a,)), (d.signed(3),)),
        ],
        "_index": [
            (lambda x, k=k: x[k], (d.signed(4, 3, 5),))
            for k in (
                1,
                -1,
                slice(None, None, 2),
                slice(None, None, -1),
                (slice(1, 3), 0),
                (0, 1, 2),
                (Ellipsis, 2),
                (None, slice(None), None, 1),
                np.array([0, 2, 2, -1]),
                (slice(None), np.array([1, 1, 0])),
                (np.array([0, 1, 0]), np.array([2, 0, 2])),
                (np.array([[0, 3], [3, 3]]), slice(None), -1),
                (Ellipsis, np.array([4, 4])),
                np.zeros(0, np.int64),
            )
        ],
        "_place": [
            (lambda x, k=k, s=s: shape._place(x, key=k, shape=s), (d.signed(*extents),))
            for k, s, extents in (
                (slice(1, 3), (4, 3), (2, 3)),
                ((Ellipsis, 0), (2, 3), (2,)),
                ((None, 1), (4, 3), (1, 3)),
                (np.array([0, 2, 0]), (3, 2), (3, 2)),
                ((np.array([1, 1]), np.array([0, 0])), (3, 2), (2,)),
            )
        ],
        "_pad": [
            (lambda x: ops.pad(x, ((1, 2), (0, 3))), (d.signed(2, 3),)),
            (lambda x: ops.pad(x, ((0, 0),)), (d.signed(4),)),
            (lambda x: ops.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0))), (d.signed(2, 3, 3, 2),)),
        ],
        "_largest_tap": [(lambda x: pool._largest_tap(x, geometry=_POOLED), (d.distinct(2, 5, 4, 3),))],
        "_same": [(engine._same, (d.signed(2, 3),))],
        "copied": [(autodiff.copied, (d.signed(2, 3),))],
        "_constant_like": [(lambda x: engine._constant_like(x, value=2.0), (d.signed(2, 3),))],
    }


def composed(seed: int = 0, dtype: str = "float64") -> Table:
    """(function, inputs), by the name of an operation that is composed of primitives."""
    d = Sampler(seed, "composed operations", dtype)
    return {
        "minimum": [
            (ops.minimum, d.pair_apart(3, 5)),
            (lambda x: ops.minimum(x, 0.0), (d.signed(3),)),
        ],
        "min": [
            (ops.min, (d.distinct(3, 5),)),
            (lambda x: ops.min(x, (0, -1), keepdims=True), (d.distinct(3, 2, 4),)),
        ],
        "clip": [
            (lambda x: ops.clip(x, -1.0, 1.0), (d.distinct(3, 5) + 0.1,)),
            (lambda x: ops.clip(x, high=0.0), (d.signed(3, 5),)),
            (lambda x, low, high: ops.clip(x, low, high), (d.array(0.0, 1.0, 2.0), d.array(0.5), d.array(1.5))),
        ],
        "stack": [
            (lambda a, b: ops.stack([a, b, a]), (d.signed(2, 3), d.signed(2, 3))),
            (lambda a, b: ops.stack([a, b], axis=-1), (d.signed(2, 3), d.signed(2, 3))),
            (lambda a, b: ops.stack([a, b]), (d.signed(), d.signed())),
        ],
        "matmul": [
            (ops.matmul, (d.signed(*m), d.signed(*n)))
            for m, n in (
                ((4,), (4,)),
                ((4,), (4, 3)),
                ((3, 4), (4,)),
                ((2, 3, 4), (4, 2)),
                ((2, 3, 4), (4,)),
                ((3, 4), (2, 4, 5)),
                ((2, 1, 3, 4), (3, 4, 2)),
            )
        ]
        + [(lambda a, b: ops.matmul(a, b, transpose_b=True), (d.signed(2, 3, 4), d.signed(5, 4)))],
        "var": [
            (ops.var, (d.signed(3, 5),)),
            (lambda x: ops.var(x, -1, keepdims=True), (d.signed(3, 5),)),
            (lambda x: ops.var(x, (0, -1)), (d.signed(3, 2, 5),)),
        ],
        "logsumexp": [
            (lambda x, a=a, k=k: ops.logsumexp(x, a, keepdims=k), (d.signed(3, 2, 4),))
            for a in (None, (0, -1), 1)
            for k in (False, True)
        ],
        "cross_entropy": [
            (lambda x: ops.cross_entropy(x, [2, 0, 2, 1]), (d.signed(4, 3),)),
            (lambda x: ops.cross_entropy(x, [[2, 0], [1, 1]]), (d.signed(2, 2, 3),)),
        ],
        "mean": [
            (ops.mean, (d.signed(3, 5),)),
            (lambda x: ops.mean(x, -1, keepdims=True), (d.signed(3, 5),)),
            (lambda x: ops.mean(x, (0, -1)), (d.signed(3, 2, 5),)),
        ],
        "sum_like": [
            (ops.sum_like, (d.signed(4, 3, 5), d.signed(3, 1))),
            (ops.sum_like, (d.signed(4, 3), d.signed())),
        ],
        "average_pool2d": [
            (ops.average_pool2d, (d.signed(2, 4, 6, 3),)),
            (lambda x: ops.average_pool2d(x, 3, stride=2, padding=1), (d.signed(1, 4, 5, 2),)),
        ],
    }
