/* Multi-head self attention over packed rows, one record and one group of heads at a time.
 *
 *     A = softmax(Q K^T / sqrt(K)),  O = (A * keep) V                  (Vaswani et al. 2017, eq. 1)
 *     dV = (A * keep)^T dO,  dS = A * (keep * dO V^T - t),  t = rowsum(A * keep * dO V^T)
 *     dQ = dS K / sqrt(K),  dK = dS^T Q / sqrt(K)                      (Dao et al. 2022, appendix B.2)
 *
 * Queries are taken 32 at a time; of the weights only the logarithm of each row's sum is kept, they and dropout's
 * coins are made again for the gradient: memory is linear in the length, and nothing is padded or gathered.
 */
#include "common.h"

#define ROWS 32 /* queries at a time */

typedef struct {
    const int64_t *starts;    /* (B + 1) first row of each record */
    const int64_t *documents; /* (N) a token sees equal values alone; or NULL */
    const uint64_t *grid;     /* (B, length) dropout's keys; or NULL */
    int64_t batch, length, heads, groups, width; /* width: K, a multiple of WIDE */
    int64_t site, causal;
    double rate;
} Attention;

/* (count, width) floats, times `scale`, from rows `stride` apart. */
INLINE void load(float *to, const void *from, int low, int64_t first, int64_t stride, int64_t count, int64_t width,
                 float scale) {
    for (int64_t i = 0; i < count; i++) {
        int64_t start = first + i * stride;
        if (low)
            for (int64_t d = 0; d < width; d++)
                to[i * width + d] = from_low(((const uint16_t *)from)[start + d]) * scale;
        else
            for (int64_t d = 0; d < width; d++)
                to[i * width + d] = ((const float *)from)[start + d] * scale;
    }
}

INLINE void store(void *to, int low, int64_t first, int64_t stride, int64_t count, int64_t width, const float *from,
                  float scale) {
    for (int64_t i = 0; i < count; i++) {
        int64_t start = first + i * stride;
        if (low)
            for (int64_t d = 0; d < width; d++)
                ((uint16_t *)to)[start + d] = to_low(from[i * width + d] * scale);
        else
            for (int64_t d = 0; d < width; d++)
                ((float *)to)[start + d] = from[i * width + d] * scale;
    }
}

/* (padded, width) -> (width, padded), eight by eight: pairs change places, then pairs of pairs, then halves. */
INLINE void transpose(float *to, const float *from, int64_t width, int64_t padded) {
    typedef int32_t order __attribute__((vector_size(4 * WIDE)));
    static const order low[3] = {{0, 8, 2, 10, 4, 12, 6, 14}, {0, 1, 8, 9, 4, 5, 12, 13}, {0, 1, 2, 3, 8, 9, 10, 11}};
    static const order high[3] = {{1, 9, 3, 11, 5, 13, 7, 15}, {2, 3, 10, 11, 6, 7, 14, 15}, {4, 5, 6, 7, 12, 13, 14, 15}};
    for (int64_t j = 0; j < padded; j += WIDE)
        for (int64_t d = 0; d < width; d += WIDE) {
            vec x[WIDE], y[WIDE];
            for (int i = 0; i < WIDE; i++)
                x[i] = *(const vec *)(from + (j + i) * width + d);
            for (int turn = 0; turn < 3; turn++) {
                const int apart = 1 << turn;
                for (int i = 0; i < WIDE; i++)
                    if (!(i & apart)) {
                        y[i] = __builtin_shuffle(x[i], x[i + apart], low[turn]);
                        y[i + apart] = __builtin_shuffle(x[i], x[i + apart], high[turn]);
                    }
                for (int i = 0; i < WIDE; i++)
                    x[i] = y[i];
            }
            for (int i = 0; i < WIDE; i++)
                *(vec *)(to + (d + i) * padded + j) = x[i];
        }
}

/* The scores of one query at the keys that it must not see, padding among them, become so low that they weigh 0. */
INLINE void forbid(const Attention *at, float *scores, int64_t start, int64_t query, int64_t count, int64_t padded) {
    for (int64_t j = count; j < padded; j++)
        scores[j] = -1e30f;
    if (at->causal)
        for (int64_t j = query + 1; j < count; j++)
            scores[j] = -1e30f;
    if (at->documents)
        for (int64_t j = 0; j < count; j++)
            if (at->documents[start + j] != at->documents[start + query])
                scores[j] = -1e30f;
}

/* How many keys of a record the queries before `end` see at most. */
INLINE int64_t seen_keys(const Attention *at, int64_t end, int64_t count) { return at->causal ? end : count; }

/* keep: (count), a multiple of WIDE, dropout's factors of one query's weights. */
INLINE void keep_factors(const Attention *at, float *keep, uint64_t *coins, int64_t record, int64_t head, int64_t query,
                         int64_t count) {
    uint64_t own = mix((uint64_t)(head + 1) * STEP + (uint64_t)(at->site + 1) * STEP);
    uint8_t losing = toss(mix(at->grid[record * at->length + query] + own), count, at->rate, coins);
    const uint8_t *coin = (const uint8_t *)coins;
    float factor = (float)(1 / (1 - at->rate));
    for (int64_t j = 0; j < count; j++)
        keep[j] = coin[j] >= losing ? factor : 0.0f;
}

/* Floats that `attend` works in. */
INLINE int64_t attention_room(const Attention *at) {
    const int64_t padded = round_up(at->length, WIDE);
    return 2 * padded * at->width + 2 * ROWS * at->width + ROWS * padded + 3 * padded;
}

/* The heads of group g at record b. Arrays as in `attention_forward`. */
static void attend(const Attention *at, const void *qkv, int64_t low, void *out, int64_t low_out, float *sums,
                   int64_t b, int64_t g, float *memory) {
    const int64_t H = at->heads, G = at->groups, K = at->width, stride = (H + 2 * G) * K;
    const int64_t padded = round_up(at->length, WIDE), start = at->starts[b], T = at->starts[b + 1] - start;
    const int64_t P = round_up(T, WIDE);
    const float scale = 1 / sqrtf((float)K);
    float *keys = memory, *values = keys + padded * K, *queries = values + padded * K, *seen = queries + ROWS * K;
    float *scores = seen + ROWS * K, *keep = scores + ROWS * padded;
    uint64_t *coins = (uint64_t *)(keep + padded);
    load(values, qkv, low, start * stride + (H + g) * K, stride, T, K, 1);
    memset(values + T * K, 0, (P - T) * K * 4);
    transpose(keys, values, K, P);
    load(values, qkv, low, start * stride + (H + G + g) * K, stride, T, K, 1);
    for (int64_t h = g * (H / G); h < (g + 1) * (H / G); h++)
        for (int64_t first = 0; first < T; first += ROWS) {
            const int64_t M = least(ROWS, T - first), row = start + first;
            load(queries, qkv, low, row * stride + h * K, stride, M, K, scale);
            memset(queries + M * K, 0, (round_up(M, 4) - M) * K * 4);
            const int64_t S = seen_keys(at, first + M, T), Q = round_up(S, WIDE);
            product(M, Q, K, queries, K, 1, keys, P, scores, P, 0);
            for (int64_t i = 0; i < M; i++) {
                float *s = scores + i * P, most = -INFINITY, sum = 0;
                forbid(at, s, start, first + i, S, Q);
#pragma omp simd reduction(max : most)
                for (int64_t j = 0; j < Q; j++)
                    most = s[j] > most ? s[j] : most;
#pragma omp simd reduction(+ : sum)
                for (int64_t j = 0; j < Q; j++) {
                    s[j] = exponential(s[j] - most);
                    sum += s[j];
                }
                sums[(row + i) * H + h] = most + logf(sum);
                const float inverse = 1 / sum;
                if (at->grid) {
                    keep_factors(at, keep, coins, b, h, first + i, Q);
                    for (int64_t j = 0; j < Q; j++)
                        s[j] *= inverse * keep[j];
                } else
                    for (int64_t j = 0; j < Q; j++)
                        s[j] *= inverse;
            }
            product(M, K, S, scores, P, 1, values, K, seen, K, 0);
            store(out, low_out, row * H * K + h * K, H * K, M, K, seen, 1);
        }
}

/* qkv: (N, (heads + 2 groups) width). out: (N, heads width). sums: (N, heads) logarithms. Returns 0, or 1: no memory. */
int attention_forward(const Attention *at, const void *qkv, int64_t low, void *out, int64_t low_out, float *sums) {
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *memory = scratch(attention_room(at));
        failed |= !memory;
#pragma omp for schedule(dynamic, 4)
        for (int64_t pair = 0; pair < at->batch * at->groups; pair++) {
            const int64_t b = pair / at->groups;
            if (memory && at->starts[b + 1] > at->starts[b])
                attend(at, qkv, low, out, low_out, sums, b, pair % at->groups, memory);
        }
        free(memory);
    }
    return failed;
}

/* grad: (N, heads width), of `out`. dqkv: like qkv, which every number is written to. */
int attention_backward(const Attention *at, const void *qkv, int64_t low, const void *grad, int64_t low_grad,
                       const float *sums, void *dqkv) {
    const int64_t H = at->heads, G = at->groups, K = at->width, stride = (H + 2 * G) * K;
    const int64_t padded = round_up(at->length, WIDE);
    const float scale = 1 / sqrtf((float)K);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *memory = scratch(5 * padded * K + 3 * ROWS * K + 2 * ROWS * padded + 3 * padded);
        failed |= !memory;
        float *keys = memory, *turned = keys + padded * K, *values = turned + padded * K;
        float *dkeys = values + padded * K, *dvalues = dkeys + padded * K, *queries = dvalues + padded * K;
        float *given = queries + ROWS * K, *dqueries = given + ROWS * K, *weights = dqueries + ROWS * K;
        float *dscores = weights + ROWS * padded, *keep = dscores + ROWS * padded;
        uint64_t *coins = (uint64_t *)(keep + padded);
#pragma omp for schedule(dynamic, 4)
        for (int64_t pair = 0; pair < at->batch * G; pair++) {
            const int64_t b = pair / G, g = pair % G, start = at->starts[b], T = at->starts[b + 1] - start;
            const int64_t P = round_up(T, WIDE);
            if (!memory || !T)
                continue;
            load(keys, qkv, low, start * stride + (H + G + g) * K, stride, T, K, 1);
            memset(keys + T * K, 0, (P - T) * K * 4);
            transpose(values, keys, K, P);
            load(keys, qkv, low, start * stride + (H + g) * K, stride, T, K, 1);
            transpose(turned, keys, K, P);
            memset(dkeys, 0, 2 * padded * K * 4);
            for (int64_t h = g * (H / G); h < (g + 1) * (H / G); h++)
                for (int64_t first = 0; first < T; first += ROWS) {
                    const int64_t M = least(ROWS, T - first), row = start + first, rest = round_up(M, 4) - M;
                    load(queries, qkv, low, row * stride + h * K, stride, M, K, scale);
                    load(given, grad, low_grad, row * H * K + h * K, H * K, M, K, 1);
                    memset(queries + M * K, 0, rest * K * 4);
                    memset(given + M * K, 0, rest * K * 4);
                    const int64_t S = seen_keys(at, first + M, T), Q = round_up(S, WIDE);
                    product(M, Q, K, queries, K, 1, turned, P, weights, P, 0);
                    product(M, Q, K, given, K, 1, values, P, dscores, P, 0);
                    for (int64_t i = 0; i < M; i++) {
                        float *w = weights + i * P, *ds = dscores + i * P, t = 0;
                        const float sum = sums[(row + i) * H + h];
                        forbid(at, w, start, first + i, S, Q);
                        if (at->grid)
                            keep_factors(at, keep, coins, b, h, first + i, Q);
                        else
                            for (int64_t j = 0; j < Q; j++)
                                keep[j] = 1;
#pragma omp simd reduction(+ : t)
                        for (int64_t j = 0; j < Q; j++) {
                            w[j] = exponential(w[j] - sum);
                            ds[j] *= keep[j];
                            t += w[j] * ds[j];
                        }
                        for (int64_t j = 0; j < Q; j++) {
                            ds[j] = w[j] * (ds[j] - t);
                            w[j] *= keep[j];
                        }
                    }
                    product(S, K, M, weights, 1, P, given, K, dvalues, K, 1);
                    product(S, K, M, dscores, 1, P, queries, K, dkeys, K, 1);
                    product(M, K, S, dscores, P, 1, keys, K, dqueries, K, 0);
                    store(dqkv, low, row * stride + h * K, stride, M, K, dqueries, scale);
                }
            store(dqkv, low, start * stride + (H + g) * K, stride, T, K, dkeys, 1);
            store(dqkv, low, start * stride + (H + G + g) * K, stride, T, K, dvalues, 1);
        }
        free(memory);
    }
    return failed;
}
