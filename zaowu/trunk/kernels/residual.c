/* The residual branch with layer norm behind it, in one pass each way.
 *
 *     h = x + keep * y,  out = (h - mean(h)) / sqrt(var(h) + eps) * gain + bias        (Ba et al. 2016)
 *
 * With n = (h - mean) / sqrt(var + eps) and e = grad * gain, means over one row:
 *
 *     dx = (e - mean(e) - n * mean(e * n)) / sqrt(var + eps),  dy = dx * keep
 *     dgain = sum over rows of grad * n,  dbias = sum over rows of grad
 *
 * out is written twice, for the next sum in float32 and for the next product in bfloat16, and has two gradients.
 */
#include "common.h"

#define BLOCK 32 /* rows whose sums are made by one thread, so that their order does not depend on threads */

/* (round_up(width, 8)) dropout's factors of one row; all 1 without keys. */
INLINE void row_factors(float *keep, uint64_t *coins, const uint64_t *keys, int64_t row, int64_t site, int64_t width,
                        double rate) {
    if (!keys) {
        for (int64_t j = 0; j < width; j++)
            keep[j] = 1;
        return;
    }
    uint8_t losing = toss(mix(keys[row] + (uint64_t)(site + 1) * STEP), width, rate, coins);
    const uint8_t *coin = (const uint8_t *)coins;
    float factor = (float)(1 / (1 - rate));
    for (int64_t j = 0; j < width; j++)
        keep[j] = coin[j] >= losing ? factor : 0.0f;
}

/* One row. y: float32, or bfloat16 where `low`. keep: dropout's factors. x, h and out may be the same row. */
INLINE void norm_row(int64_t width, const float *x, const void *y, int64_t low, const float *keep, const float *gain,
                     const float *bias, float eps, float *h, float *out, uint16_t *out_low, float *moments) {
    float total = 0, square = 0;
    if (low) {
        const uint16_t *added = (const uint16_t *)y;
#pragma omp simd reduction(+ : total)
        for (int64_t j = 0; j < width; j++) {
            h[j] = x[j] + keep[j] * from_low(added[j]);
            total += h[j];
        }
    } else {
        const float *added = (const float *)y;
#pragma omp simd reduction(+ : total)
        for (int64_t j = 0; j < width; j++) {
            h[j] = x[j] + keep[j] * added[j];
            total += h[j];
        }
    }
    const float mean = total / width;
#pragma omp simd reduction(+ : square)
    for (int64_t j = 0; j < width; j++)
        square += (h[j] - mean) * (h[j] - mean);
    const float rise = 1 / sqrtf(square / width + eps);
    moments[0] = mean;
    moments[1] = rise;
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
        out[j] = (h[j] - mean) * rise * gain[j] + bias[j];
    if (out_low)
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            out_low[j] = to_low(out[j]);
}

/* x, h, out: (N, D) float32. y: (N, D). keys: (N) or NULL. out_low: (N, D) bfloat16 or NULL. moments: (N, 2). */
int residual_norm_forward(int64_t rows, int64_t width, const float *x, const void *y, int64_t low, const float *gain,
                          const float *bias, double eps, const uint64_t *keys, int64_t site, double rate, float *h,
                          float *out, uint16_t *out_low, float *moments) {
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *keep = scratch(2 * round_up(width, WIDE));
        uint64_t *coins = (uint64_t *)(keep + round_up(width, WIDE));
        failed |= !keep;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++) {
            if (!keep)
                continue;
            const int64_t at = i * width;
            row_factors(keep, coins, keys, i, site, width, rate);
            norm_row(width, x + at, (const char *)y + at * (low ? 2 : 4), low, keep, gain, bias, (float)eps, h + at,
                     out + at, out_low ? out_low + at : NULL, moments + 2 * i);
        }
        free(keep);
    }
    return failed;
}

/* grad: (N, D) float32 or NULL. grad_low: (N, D) bfloat16 or NULL. dx, dy: as x and y. dgain, dbias: (D). */
int residual_norm_backward(int64_t rows, int64_t width, const float *grad, const uint16_t *grad_low, const float *h,
                           const float *moments, const float *gain, const uint64_t *keys, int64_t site, double rate,
                           float *dx, void *dy, int64_t low, float *dgain, float *dbias) {
    const int64_t blocks = (rows + BLOCK - 1) / BLOCK, padded = round_up(width, WIDE);
    float *sums = calloc(blocks * 2 * width + 1, 4); /* (blocks, 2, D) */
    int failed = !sums;
#pragma omp parallel reduction(| : failed)
    {
        float *keep = scratch(4 * padded), *given = keep + padded, *normed = given + padded;
        uint64_t *coins = (uint64_t *)(normed + padded);
        failed |= !keep;
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            if (!keep || !sums)
                continue;
            float *own_gain = sums + block * 2 * width, *own_bias = own_gain + width;
            for (int64_t i = block * BLOCK; i < least(rows, (block + 1) * BLOCK); i++) {
                const float mean = moments[2 * i], rise = moments[2 * i + 1], *sum = h + i * width;
                float first = 0, second = 0, *to = dx + i * width;
                row_factors(keep, coins, keys, i, site, width, rate);
                for (int64_t j = 0; j < width; j++)
                    given[j] = grad ? grad[i * width + j] : 0;
                if (grad_low)
#pragma omp simd
                    for (int64_t j = 0; j < width; j++)
                        given[j] += from_low(grad_low[i * width + j]);
#pragma omp simd reduction(+ : first, second)
                for (int64_t j = 0; j < width; j++) {
                    normed[j] = (sum[j] - mean) * rise;
                    own_gain[j] += given[j] * normed[j];
                    own_bias[j] += given[j];
                    given[j] *= gain[j];
                    first += given[j];
                    second += given[j] * normed[j];
                }
                first /= width, second /= width;
#pragma omp simd
                for (int64_t j = 0; j < width; j++)
                    to[j] = (given[j] - first - normed[j] * second) * rise;
                if (low) {
                    uint16_t *branch = (uint16_t *)dy + i * width;
#pragma omp simd
                    for (int64_t j = 0; j < width; j++)
                        branch[j] = to_low(to[j] * keep[j]);
                } else {
                    float *branch = (float *)dy + i * width;
#pragma omp simd
                    for (int64_t j = 0; j < width; j++)
                        branch[j] = to[j] * keep[j];
                }
            }
        }
        free(keep);
    }
    if (sums) {
        memset(dgain, 0, width * 4);
        memset(dbias, 0, width * 4);
        for (int64_t block = 0; block < blocks; block++)
            for (int64_t j = 0; j < width; j++) {
                dgain[j] += sums[block * 2 * width + j];
                dbias[j] += sums[block * 2 * width + width + j];
            }
    }
    free(sums);
    return failed;
}

/* sums: (D) of the rows, in float32, from bfloat16. */
int column_sums(int64_t rows, int64_t width, const uint16_t *from, float *sums) {
    const int64_t part = 128;
#pragma omp parallel for schedule(static)
    for (int64_t start = 0; start < width; start += part) {
        const int64_t stop = least(width, start + part);
        for (int64_t j = start; j < stop; j++)
            sums[j] = 0;
        for (int64_t i = 0; i < rows; i++)
#pragma omp simd
            for (int64_t j = start; j < stop; j++)
                sums[j] += from_low(from[i * width + j]);
    }
    return 0;
}
