// Clipping in place: values = min(max(values, -limit), limit). NaN stays NaN.
//
// Memory-bound: 8 bytes of float32 for each element.
//
// Compiled for sm_75 to sm_120: at most 12 registers (16 in float64), no spills.

#include "elementwise.cuh"

extern "C" __global__ void clip(real* __restrict__ values, real limit, int count) {
    for_each_element(count, [&](int i) {
        const real value = values[i];
        values[i] = value < -limit ? -limit : value > limit ? limit : value;
    });
}
