/* What the kernels share: bf16, exp, dropout's coins, and a small matrix product.
 *
 * Plain C that a compiler vectorises; no processor's own functions but one in encoder.c. No flag that assumes finite
 * numbers is used: a NaN that comes in must come out, since the training loop looks for it. Every sum runs in an order
 * that depends on sizes alone, so results are the same on any number of threads.
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define WIDE 8 /* numbers in one `vec` */

typedef float vec __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* A buffer of one thread, on a cache line; NULL where there is no memory, which the caller answers for. */
INLINE float *scratch(int64_t numbers) { return aligned_alloc(64, round_up(numbers * 4, 64)); }

/* bfloat16 is the upper half of a float32; rounding is to the nearest, ties to even, and NaN stays NaN. */
INLINE float from_low(uint16_t x) {
    union { uint32_t bits; float number; } u = {.bits = (uint32_t)x << 16};
    return u.number;
}

INLINE uint16_t to_low(float x) {
    union { float number; uint32_t bits; } u = {.number = x};
    uint32_t rounded = (u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16;
    return x != x ? 0x7fc0 : (uint16_t)rounded;
}

/* exp(x) to about 2e-7: 2^n p(r), x = n ln 2 + r, |r| <= ln 2 / 2; below -87 it is 0. Cephes' polynomial. */
INLINE float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    float n = rintf(x * 1.44269504088896341f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    float bounded = n < -126.0f ? -126.0f : n == n ? n : 0.0f;
    union { int32_t bits; float number; } power = {.bits = ((int32_t)bounded + 127) << 23};
    return x < -87.0f ? 0.0f : p * power.number;
}

/* The coins of `dropout.py`, bit for bit: splitmix64's finaliser over counters (Steele, Lea and Flood 2014). */
#define STEP 0x9E3779B97F4A7C15ull

INLINE uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* One key -> round_up(width, 8) coins; a coin below the result loses. */
INLINE uint8_t toss(uint64_t key, int64_t width, double rate, uint64_t *coins) {
    for (int64_t word = 0; word < (width + 7) / 8; word++)
        coins[word] = mix(key + (uint64_t)(word + 1) * STEP);
    return (uint8_t)((double)(key >> 32) * 0x1p-32 + rate * 256);
}

/* C = A B or C += A B. A: 4 rows, element (r, k) at a[r * row + k * step]. B: (depth, WIDE n). C: (4, WIDE n). */
INLINE void tile(const int n, int64_t depth, const float *a, int64_t row, int64_t step, const float *b, int64_t ldb,
                 float *c, int64_t ldc, int add) {
    vec sums[4][3] = {{{0}}};
    for (int64_t k = 0; k < depth; k++, a += step, b += ldb) {
        const vec zero = {0};
        const vec left[4] = {zero + a[0], zero + a[row], zero + a[2 * row], zero + a[3 * row]};
        for (int v = 0; v < n; v++) {
            vec right = *(const vec *)(b + v * WIDE);
            for (int r = 0; r < 4; r++)
                sums[r][v] += left[r] * right;
        }
    }
    for (int r = 0; r < 4; r++)
        for (int v = 0; v < n; v++) {
            vec *to = (vec *)(c + r * ldc + v * WIDE);
            *to = sums[r][v] + (add ? *to : (vec){0});
        }
}

/* The same for any number of rows and columns; they are worked on in fours and in WIDEs, so buffers are padded. */
static void product(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t row, int64_t step,
                    const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
    for (int64_t left = (columns + WIDE - 1) / WIDE, j = 0, n; left; left -= n, j += n * WIDE) {
        n = left == 4 ? 2 : least(left, 3);
        for (int64_t i = 0; i < rows; i += 4) {
            const float *from = a + i * row, *with = b + j;
            float *to = c + i * ldc + j;
            if (n == 3)
                tile(3, depth, from, row, step, with, ldb, to, ldc, add);
            else if (n == 2)
                tile(2, depth, from, row, step, with, ldb, to, ldc, add);
            else
                tile(1, depth, from, row, step, with, ldb, to, ldc, add);
        }
    }
}
