// Moving averages, in place: the running statistics of batch norm, and the average of a network's weights.
//
//     update_running_statistics       running = momentum * running + rest * value        rest = 1 - momentum
//     lerp                            mean = mean + (value - mean) * weight
//
// Memory-bound: two or three operations for 12 bytes of float32. Every operation is rounded, as in NumPy. The weight
// lies on the device, so that a captured launch takes that of each step.
//
// Compiled for sm_75 to sm_120: at most 22 registers (28 in float64), no spills.

#include "elementwise.cuh"

extern "C" __global__ void update_running_statistics(real* __restrict__ running, const real* __restrict__ value,
                                                     real momentum, real rest, int count) {
    for_each_element(count, [&](int i) { running[i] = product(momentum, running[i]) + product(rest, value[i]); });
}

extern "C" __global__ void lerp(real* __restrict__ mean, const real* __restrict__ value,
                                const double* __restrict__ weight, int count) {
    const real rounded = real(weight[0]);
    for_each_element(count, [&](int i) { mean[i] += product(value[i] - mean[i], rounded); });
}
