/* Products of a weight matrix with the vectors of few tokens: reading the weights is most of the work.
 *
 * With up to three tokens the rows of the weights are read one after another, as memory likes it best; with four,
 * four rows at once, so that each number that is loaded is used four times.
 */
#pragma once

#include "common.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define FLOATS 16
#define SIDE 4 /* rows of the weights, and tokens, that are multiplied at once */

typedef float wide __attribute__((vector_size(4 * FLOATS), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * FLOATS), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * FLOATS)));
typedef uint32_t words_at __attribute__((vector_size(4 * FLOATS), aligned(2), may_alias));

typedef struct {
    const void *weight; /* (out, in) */
    const float *bias;  /* (out), or NULL */
    int64_t out;
} Matrix;

INLINE wide load_low(const uint16_t *from) {
    const words bits = __builtin_convertvector(*(const halves *)from, words) << 16;
    return (wide)bits;
}

INLINE wide load_wide(const void *from, int64_t at, const int low) {
    return low ? load_low((const uint16_t *)from + at) : *(const wide *)((const float *)from + at);
}

INLINE float load_one(const void *from, int64_t at, const int low) {
    return low ? from_low(((const uint16_t *)from)[at]) : ((const float *)from)[at];
}

/* The sums of the numbers of 16 vectors, one in each place: neighbours are added, of two vectors at a time. */
#define PAIR(a, b) (__builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd))

INLINE wide totals(wide *x) {
    typedef int32_t places __attribute__((vector_size(4 * FLOATS)));
    const places even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    const places odd = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
    for (int i = 0; i < 8; i++) /* written out, so that all of it stays in registers */
        x[i] = PAIR(x[2 * i], x[2 * i + 1]);
    for (int i = 0; i < 4; i++)
        x[i] = PAIR(x[2 * i], x[2 * i + 1]);
    for (int i = 0; i < 2; i++)
        x[i] = PAIR(x[2 * i], x[2 * i + 1]);
    x[0] = PAIR(x[0], x[1]);
    return x[0];
}

INLINE float total(wide x) {
    float sum = 0;
    for (int i = 0; i < FLOATS; i++)
        sum += x[i];
    return sum;
}

INLINE float dot(const float *q, const void *k, int64_t at, int64_t width, const int low) {
    float sum = 0;
    const int64_t whole = width / FLOATS * FLOATS;
    wide sums = {0};
    for (int64_t i = 0; i < whole; i += FLOATS)
        sums += *(const wide *)(q + i) * load_wide(k, at + i, low);
    for (int64_t i = whole; i < width; i++)
        sum += q[i] * load_one(k, at + i, low);
    return whole ? sum + total(sums) : sum;
}

/* 32 numbers of a row of weights. Of bfloat16 ones, two that lie together are 16 apart in the row (write.py): what is
 * the upper half of a word already needs no shuffle. */
INLINE void load_two(const void *weight, int64_t at, const int low, wide *one, wide *other) {
    if (low) {
        const words pairs = *(const words_at *)((const uint16_t *)weight + at);
        *one = (wide)(pairs << 16);
        *other = (wide)(pairs & 0xffff0000u);
    } else {
        *one = *(const wide *)((const float *)weight + at);
        *other = *(const wide *)((const float *)weight + at + FLOATS);
    }
}

/* What is behind the last 32 of a row, of float32 alone. */
INLINE float rest(const void *weight, int64_t row, int64_t whole, int64_t in, const float *x) {
    float sum = 0;
    for (int64_t k = whole; k < in; k++)
        sum += ((const float *)weight)[row + k] * x[k];
    return sum;
}

/* y[t][o + i] = w_(o + i) . x_t for 16 / tokens rows of weights, one after another: memory is read in one go. */
INLINE void stream(const int tokens, const void *weight, const int low, int64_t o, int64_t in, const float *x,
                   const float *bias, float *y, int64_t stride) {
    const int outs = FLOATS / tokens;
    const int64_t whole = in / (2 * FLOATS) * 2 * FLOATS;
    wide sums[FLOATS];
    for (int i = 0; i < outs; i++) {
        wide own[2][2] = {{{0}}}, one, other;
        for (int64_t k = 0; k < whole; k += 2 * FLOATS) {
            load_two(weight, (o + i) * in + k, low, &one, &other);
            for (int t = 0; t < tokens; t++) {
                own[t][0] += one * *(const wide *)(x + t * in + k);
                own[t][1] += other * *(const wide *)(x + t * in + k + FLOATS);
            }
        }
        for (int t = 0; t < tokens; t++)
            sums[i * tokens + t] = own[t][0] + own[t][1];
    }
    const wide found = totals(sums);
    for (int i = 0; i < outs; i++)
        for (int t = 0; t < tokens; t++)
            y[t * stride + o + i] =
                found[i * tokens + t] + (bias ? bias[o + i] : 0) + rest(weight, (o + i) * in, whole, in, x + t * in);
}

/* The same for 4 rows of weights and 4 tokens at once: each number that is loaded is used four times. */
INLINE void tiled(const void *weight, const int low, int64_t o, int64_t in, const float *x, const float *bias, float *y,
                  int64_t stride) {
    wide sums[FLOATS] = {{0}};
    const int64_t whole = in / (2 * FLOATS) * 2 * FLOATS;
    for (int64_t k = 0; k < whole; k += 2 * FLOATS) {
        wide left[SIDE], right[SIDE], one, other;
        for (int t = 0; t < SIDE; t++) {
            left[t] = *(const wide *)(x + t * in + k);
            right[t] = *(const wide *)(x + t * in + k + FLOATS);
        }
        for (int i = 0; i < SIDE; i++) {
            load_two(weight, (o + i) * in + k, low, &one, &other);
            for (int t = 0; t < SIDE; t++)
                sums[i * SIDE + t] = sums[i * SIDE + t] + one * left[t] + other * right[t];
        }
    }
    const wide found = totals(sums);
    for (int i = 0; i < SIDE; i++)
        for (int t = 0; t < SIDE; t++)
            y[t * stride + o + i] =
                found[i * SIDE + t] + (bias ? bias[o + i] : 0) + rest(weight, (o + i) * in, whole, in, x + t * in);
}

/* The same where the processor multiplies pairs of bfloat16: `x` has been rounded, and laid out as the weights are. */
#ifdef __AVX512BF16__
INLINE void paired(const uint16_t *weight, int64_t o, int64_t in, const uint16_t *x, const float *bias, float *y,
                   int64_t stride) {
    wide sums[FLOATS] = {{0}};
    for (int64_t k = 0; k < in; k += 2 * FLOATS) {
        words right[SIDE];
        for (int t = 0; t < SIDE; t++)
            right[t] = *(const words_at *)(x + t * in + k);
        for (int i = 0; i < SIDE; i++) {
            const words left = *(const words_at *)(weight + (o + i) * in + k);
            for (int t = 0; t < SIDE; t++)
                sums[i * SIDE + t] = (wide)_mm512_dpbf16_ps((__m512)sums[i * SIDE + t], (__m512bh)left, (__m512bh)right[t]);
        }
    }
    const wide found = totals(sums);
    for (int i = 0; i < SIDE; i++)
        for (int t = 0; t < SIDE; t++)
            y[t * stride + o + i] = found[i * SIDE + t] + (bias ? bias[o + i] : 0);
}
#define PAIRED 1
#else
INLINE void paired(const uint16_t *weight, int64_t o, int64_t in, const uint16_t *x, const float *bias, float *y,
                   int64_t stride) {}
#define PAIRED 0
#endif

/* What is left over of either side. */
INLINE void alone(const void *weight, const int low, int64_t o, int64_t in, const float *x, const float *bias,
                  float *y) {
    const int64_t whole = in / (2 * FLOATS) * 2 * FLOATS;
    wide sum = {0}, one, other;
    for (int64_t k = 0; k < whole; k += 2 * FLOATS) {
        load_two(weight, o * in + k, low, &one, &other);
        sum += one * *(const wide *)(x + k) + other * *(const wide *)(x + k + FLOATS);
    }
    *y = total(sum) + (bias ? bias[o] : 0) + rest(weight, o * in, whole, in, x);
}

/* Rows `first` to `last` of the weights, for all tokens: 16 rows are read from memory once, then from the cache. */
INLINE void span(const int low, const Matrix *m, int64_t in, int64_t first, int64_t last, const float *x,
                 const uint16_t *rounded, int64_t rows, float *y, int64_t stride) {
    for (int64_t o = first; o < last; o += FLOATS) {
        const int64_t outs = least(FLOATS, last - o);
        int64_t t = 0;
        for (; outs == FLOATS && t < rows;) {
            const float *from = x + t * in;
            float *to = y + t * stride;
            if (rows - t >= SIDE) {
                for (int i = 0; i < FLOATS; i += SIDE)
                    if (low && PAIRED)
                        paired(m->weight, o + i, in, rounded + t * in, m->bias, to, stride);
                    else
                        tiled(m->weight, low, o + i, in, from, m->bias, to, stride);
                t += SIDE;
            } else if (rows - t >= 2) {
                stream(2, m->weight, low, o, in, from, m->bias, to, stride);
                stream(2, m->weight, low, o + FLOATS / 2, in, from, m->bias, to, stride);
                t += 2;
            } else {
                stream(1, m->weight, low, o, in, from, m->bias, to, stride);
                t += 1;
            }
        }
        for (; t < rows; t++)
            for (int64_t i = 0; i < outs; i++)
                alone(m->weight, low, o + i, in, x + t * in, m->bias, y + t * stride + o + i);
    }
}
