// What every kernel may use. `real` is float or double; REAL_BYTES is its size.

// v where x > 0, slope * v elsewhere. With a slope of 0 the result is 0 wherever x <= 0, even for an infinite v, and a
// NaN in x passes v on.
__device__ inline real gated(real x, real v, real slope) {
    if (slope == real(0)) return x <= real(0) ? real(0) : v;
    return x > real(0) ? v : v * slope;
}
