// Copies between arrays of any strides: reversed, with steps, broadcast, transposed.
//
// Memory-bound: 8 bytes of float32 for each element, if all elements of the lines that are read are used. Neighbouring
// threads write neighbouring elements; for a transposed source, see transpose.cu. For each axis but the outermost an
// element costs an integer division, so the launch code merges axes where it can: most copies have one.
//
// Strides count elements, may be negative, and are 0 along broadcast axes. The pointers are those of the first element.
//
// Compiled for sm_75 to sm_120: at most 26 registers (30 in float64), no spills.

#include "elementwise.cuh"

// DIMENSIONS (1 to 6) of the extents and strides are used, the last being the innermost.
extern "C" __global__ void copy_strided(const real* __restrict__ source, real* __restrict__ target, int count,
                                        int extent1, int extent2, int extent3, int extent4, int extent5, int source0,
                                        int source1, int source2, int source3, int source4, int source5, int target0,
                                        int target1, int target2, int target3, int target4, int target5) {
    const int extents[] = {count, extent1, extent2, extent3, extent4, extent5};
    const int source_strides[] = {source0, source1, source2, source3, source4, source5};
    const int target_strides[] = {target0, target1, target2, target3, target4, target5};
    for_each_element(count, [&](int i) {
        int rest = i;
        long long from = 0;
        long long to = 0;
#pragma unroll
        for (int axis = DIMENSIONS - 1; axis > 0; --axis) {
            const long long index = rest % extents[axis];
            rest /= extents[axis];
            from += index * source_strides[axis];
            to += index * target_strides[axis];
        }
        from += (long long)(rest) * source_strides[0];
        to += (long long)(rest) * target_strides[0];
        target[to] = source[from];
    });
}
