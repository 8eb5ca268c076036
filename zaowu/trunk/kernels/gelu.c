/* gelu(x) = x Phi(x) and its derivative Phi(x) + x phi(x) on bfloat16, in float32 inside (Hendrycks and Gimpel 2016).
 *
 * Phi(-z) = exp(-z^2 / 2) / 2 * (a1 t + ... + a5 t^5), t = 1 / (1 + 0.3275911 z / sqrt(2)), z >= 0, is off by 1e-7 at
 * most (Abramowitz and Stegun 1964, 7.1.26), a ten-thousandth of what bfloat16 resolves.
 */
#include "common.h"

#define SPAN 4096 /* numbers at a time */

/* bell: exp(-x^2 / 2), which the derivative needs as well. */
INLINE float normal_below(float x, float bell) {
    const float t = 1 / (1 + 0.23164189f * fabsf(x));
    const float tail =
        bell * t *
        (0.127414796f + t * (-0.142248368f + t * (0.710706871f + t * (-0.726576014f + t * 0.530702715f))));
    return x > 0 ? 1 - tail : tail;
}

int gelu_forward(int64_t count, const uint16_t *x, uint16_t *out) {
#pragma omp parallel for schedule(static)
    for (int64_t start = 0; start < count; start += SPAN)
#pragma omp simd
        for (int64_t i = start; i < least(count, start + SPAN); i++) {
            const float z = from_low(x[i]);
            out[i] = to_low(z * normal_below(z, exponential(-0.5f * z * z)));
        }
    return 0;
}

int gelu_backward(int64_t count, const uint16_t *x, const uint16_t *grad, uint16_t *dx) {
#pragma omp parallel for schedule(static)
    for (int64_t start = 0; start < count; start += SPAN)
#pragma omp simd
        for (int64_t i = start; i < least(count, start + SPAN); i++) {
            const float z = from_low(x[i]), bell = exponential(-0.5f * z * z);
            dx[i] = to_low(from_low(grad[i]) * (normal_below(z, bell) + z * bell * 0.398942280f));
        }
    return 0;
}
