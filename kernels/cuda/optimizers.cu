// Adam, SGD with momentum and RMSprop over one flat buffer, one launch each.
//
//     adam        m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
//                 p = p - rate m / (sqrt(v / correction) + eps)
//                 rate = learning_rate / (1 - beta1^t), correction = 1 - beta2^t
//     sgd         v = momentum v + g                   p = p - learning_rate v
//     rmsprop     v = decay v + (1 - decay) g^2        p = p - learning_rate g / (sqrt(v) + eps)
//
// All parameters lie in one buffer and their gradients in another, at the same places. In the gaps between them the
// gradients and moments are 0, and stay so: a gap needs no check. The numbers that change from step to step lie on the
// device, so that a captured launch takes those of its step.
//
// Memory-bound: adam reads four numbers and writes three for each element, sgd and rmsprop three and two: 28 and 20
// bytes of float32. Every operation is rounded, as in NumPy: the bits are those of the reference.
//
// A gradient that is not finite is rare: only then does a thread search for its parameter and note the step there. Of
// several such threads any may come first: all write the same step. (atomicCAS works on an integer here.)
//
// Compiled for sm_75 to sm_120: at most 30 registers (44 in float64), no spills.

#include "elementwise.cuh"

// The first numbers are the same in `scalars` for all optimisers; it holds float64.
constexpr int STEP = 0;
constexpr int RATE = 1;
constexpr int CORRECTION = 2;

// Records which of this thread's elements of g are not finite. bounds (parameters, 2): the first element of each
// parameter and the one past its last. first_nonfinite (parameters,): the first step in which its gradient was not
// finite, or -1.
__device__ inline void record(const real* __restrict__ g, int count, const long long* __restrict__ bounds,
                              long long* __restrict__ first_nonfinite, int parameters,
                              const double* __restrict__ scalars) {
    const long long none = -1;
    const long long step = (long long)(scalars[STEP]);
    for_each_element(count, [&](int i) {
        if (isfinite(g[i])) return;
        for (int k = 0; k < parameters; ++k) {
            if (bounds[2 * k] <= i && i < bounds[2 * k + 1]) {
                atomicCAS((unsigned long long*)(first_nonfinite + k), (unsigned long long)(none),
                          (unsigned long long)(step));
            }
        }
    });
}

extern "C" __global__ void adam(real* __restrict__ p, const real* __restrict__ g, const long long* __restrict__ bounds,
                                real* __restrict__ m, real* __restrict__ v, long long* __restrict__ first_nonfinite,
                                const double* __restrict__ scalars, real beta1, real rest1, real beta2, real rest2,
                                real eps, int count, int parameters) {
    const real rate = real(scalars[RATE]);
    const real correction = real(scalars[CORRECTION]);
    bool all_finite = true;
    for_each_element(count, [&](int i) {
        const real gradient = g[i];
        all_finite &= bool(isfinite(gradient));
        const real mean = product(beta1, m[i]) + product(rest1, gradient);
        const real square = product(beta2, v[i]) + product(product(rest2, gradient), gradient);
        m[i] = mean;
        v[i] = square;
        p[i] -= product(rate, mean) / (sqrt(square / correction) + eps);
    });
    if (!all_finite) record(g, count, bounds, first_nonfinite, parameters, scalars);
}

extern "C" __global__ void sgd(real* __restrict__ p, const real* __restrict__ g, const long long* __restrict__ bounds,
                               real* __restrict__ v, long long* __restrict__ first_nonfinite,
                               const double* __restrict__ scalars, real momentum, int count, int parameters) {
    const real rate = real(scalars[RATE]);
    bool all_finite = true;
    for_each_element(count, [&](int i) {
        const real gradient = g[i];
        all_finite &= bool(isfinite(gradient));
        const real velocity = product(momentum, v[i]) + gradient;
        v[i] = velocity;
        p[i] -= product(rate, velocity);
    });
    if (!all_finite) record(g, count, bounds, first_nonfinite, parameters, scalars);
}

extern "C" __global__ void rmsprop(real* __restrict__ p, const real* __restrict__ g,
                                   const long long* __restrict__ bounds, real* __restrict__ v,
                                   long long* __restrict__ first_nonfinite, const double* __restrict__ scalars,
                                   real decay, real rest, real eps, int count, int parameters) {
    const real rate = real(scalars[RATE]);
    bool all_finite = true;
    for_each_element(count, [&](int i) {
        const real gradient = g[i];
        all_finite &= bool(isfinite(gradient));
        const real square = product(decay, v[i]) + product(product(rest, gradient), gradient);
        v[i] = square;
        p[i] -= product(rate, gradient) / (sqrt(square) + eps);
    });
    if (!all_finite) record(g, count, bounds, first_nonfinite, parameters, scalars);
}

extern "C" __global__ void record_nonfinite(const real* __restrict__ g, const long long* __restrict__ bounds,
                                            long long* __restrict__ first_nonfinite,
                                            const double* __restrict__ scalars, int count, int parameters) {
    record(g, count, bounds, first_nonfinite, parameters, scalars);
}
