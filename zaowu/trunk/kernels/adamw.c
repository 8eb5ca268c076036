/* AdamW in one pass over weights, gradients and moments, and the norm of all gradients in another.
 *
 *     m <- m + (1 - b1) (g - m),  v <- b2 v + (1 - b2) g^2
 *     w <- w - lr decay w - lr / c1 * m / (sqrt(v / c2) + eps),  c = 1 - b^step      (Loshchilov and Hutter 2019)
 *
 * g is the gradient times `shrink`, which is how clipping costs no pass of its own. A gradient is read in the precision
 * in which the matrix product left it, and the copy of w for the next product is written while w is at hand: both
 * save a pass over memory, which is what a step of AdamW waits for.
 */
#include "common.h"

#define CHUNK 16384 /* numbers at a time; sums are made of chunks, so that their order does not depend on threads */

typedef struct {
    float *weight, *first, *second;
    const void *gradient;
    uint16_t *copy; /* of the weight, in bfloat16; or NULL */
    int64_t size, low; /* low: the gradient is bfloat16 */
    double rate, decay, correction1, correction2;
} Weight;

/* sum: of the squares of all numbers in all gradients. */
int squares(int64_t count, const Weight *weights, double *sum) {
    int64_t chunks = 0;
    for (int64_t k = 0; k < count; k++)
        chunks += (weights[k].size + CHUNK - 1) / CHUNK;
    double *parts = malloc((chunks + 1) * sizeof(double));
    if (!parts)
        return 1;
#pragma omp parallel
    for (int64_t k = 0, before = 0; k < count; k++) {
        const Weight w = weights[k];
        const int64_t own = (w.size + CHUNK - 1) / CHUNK;
#pragma omp for schedule(static) nowait
        for (int64_t c = 0; c < own; c++) {
            const int64_t start = c * CHUNK, stop = least(w.size, start + CHUNK);
            const uint16_t *low = w.gradient;
            const float *high = w.gradient;
            float total = 0;
            if (w.low)
#pragma omp simd reduction(+ : total)
                for (int64_t i = start; i < stop; i++)
                    total += from_low(low[i]) * from_low(low[i]);
            else
#pragma omp simd reduction(+ : total)
                for (int64_t i = start; i < stop; i++)
                    total += high[i] * high[i];
            parts[before + c] = total;
        }
        before += own;
    }
    *sum = 0;
    for (int64_t c = 0; c < chunks; c++)
        *sum += parts[c];
    free(parts);
    return 0;
}

int adamw(int64_t count, const Weight *weights, double shrink, double beta1, double beta2, double eps) {
    const float scale = shrink, take1 = 1 - beta1, keep2 = beta2, take2 = 1 - beta2, tiny = eps;
#pragma omp parallel
    for (int64_t k = 0; k < count; k++) {
        const Weight w = weights[k];
        const float keep = 1 - w.rate * w.decay, size = w.rate / w.correction1, root = sqrt(w.correction2);
#pragma omp for schedule(static) nowait
        for (int64_t c = 0; c < (w.size + CHUNK - 1) / CHUNK; c++) {
            const int64_t start = c * CHUNK, length = least(w.size - start, CHUNK);
            float *restrict weight = w.weight + start, *restrict first = w.first + start;
            float *restrict second = w.second + start;
            const uint16_t *low = (const uint16_t *)w.gradient + start;
            const float *high = (const float *)w.gradient + start;
            uint16_t *restrict copy = w.copy ? w.copy + start : NULL;
#define UPDATE(READ, WRITE)                                                                                            \
    _Pragma("omp simd") for (int64_t i = 0; i < length; i++) {                                                         \
        const float g = (READ) * scale, m = first[i] + take1 * (g - first[i]), v = keep2 * second[i] + take2 * g * g;  \
        const float to = weight[i] * keep - size * m / (sqrtf(v) / root + tiny);                                       \
        first[i] = m, second[i] = v, weight[i] = to;                                                                   \
        WRITE;                                                                                                         \
    }
            if (w.low && copy)
                UPDATE(from_low(low[i]), copy[i] = to_low(to))
            else if (w.low)
                UPDATE(from_low(low[i]), )
            else if (copy)
                UPDATE(high[i], copy[i] = to_low(to))
            else
                UPDATE(high[i], )
#undef UPDATE
        }
    }
    return 0;
}
