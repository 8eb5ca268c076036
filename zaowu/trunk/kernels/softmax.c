/* Cross-entropy of bfloat16 logits and its gradient, in place, in float32 inside:
 *
 *     loss = log sum exp(z) - z_y,   dz = softmax(z) - onehot(y)
 *
 * A row of 21,128 logits is 42 KB, so the three passes over it run in the processor's cache.
 */
#include "common.h"

#define LANES 32 /* sums at a time, each over the same places on any number of threads */

/* z: (rows, pieces), becomes dz. labels: (rows). losses: (rows). */
int softmax_gradient(int64_t rows, int64_t pieces, uint16_t *z, const int64_t *labels, float *losses) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        uint16_t *own = z + row * pieces;
        const float right = from_low(own[labels[row]]);
        const int64_t whole = pieces / LANES * LANES;
        float tops[LANES], sums[LANES] = {0};
        for (int l = 0; l < LANES; l++)
            tops[l] = right;
        for (int64_t i = 0; i < whole; i += LANES)
#pragma omp simd
            for (int l = 0; l < LANES; l++) {
                const float x = from_low(own[i + l]);
                tops[l] = x > tops[l] ? x : tops[l];
            }
        for (int64_t i = whole; i < pieces; i++) {
            const float x = from_low(own[i]);
            tops[0] = x > tops[0] ? x : tops[0];
        }
        float top = tops[0];
        for (int l = 1; l < LANES; l++)
            top = tops[l] > top ? tops[l] : top;
        for (int64_t i = 0; i < whole; i += LANES)
#pragma omp simd
            for (int l = 0; l < LANES; l++)
                sums[l] += exponential(from_low(own[i + l]) - top);
        for (int64_t i = whole; i < pieces; i++)
            sums[0] += exponential(from_low(own[i]) - top);
        double sum = 0; /* a NaN among the logits is in it */
        for (int l = 0; l < LANES; l++)
            sum += sums[l];
        const float loss = (float)(log(sum) + top - right), scale = (float)(1 / sum);
#pragma omp simd
        for (int64_t i = 0; i < pieces; i++)
            own[i] = to_low(exponential(from_low(own[i]) - top) * scale);
        own[labels[row]] = to_low(expm1f(-loss));
        losses[row] = loss;
    }
    return 0;
}
