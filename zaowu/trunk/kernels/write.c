/* One token more of each of R rows through a whole stack of blocks, and the logits of the next one.
 *
 *     x <- x + W_o A(norm(x)),  x <- x + W_down f(W_up norm(x))        (norm before; or after each sum)
 *     A: softmax(q K^T / sqrt(K)) V over the keys and values of the cache, the new ones put in before
 *
 * With few rows all of it is reading weights once from memory, so one call does it all: threads meet between the
 * products, not between operations. A number is made by one thread, in an order that depends on sizes alone. Weights and
 * cache are float32 or bfloat16; everything else, sums included, is float32.
 */
#include "few_rows.h"

typedef struct {
    const float *gain, *bias; /* gain NULL: no norm; bias NULL: RMS */
} Norm;

typedef struct {
    Matrix query, key, value, output, cross_query, cross_output, up, gate, down;
    Norm attention, cross, ffn;
    const void *memory_keys, *memory_values; /* (sources, groups, memory_length, width), or NULL */
    double scales[3];                        /* of the branches: ReZero, else 1 */
} StepLayer;

typedef struct {
    const StepLayer *layers;
    int64_t num_layers, dim, heads, groups, width, inner, low; /* inner: of the feed-forward */
    int64_t before, activation;                                /* 0 gelu, 1 tanh, 2 relu, 3 silu, 4 swiglu */
    double eps;
    Norm exit;
    Matrix logits;
    int64_t rows, block, places; /* of the cache: rows of its lanes are `lanes` */
    int64_t lanes;
    void *const *blocks;                              /* each (layers, 2, lanes, groups, block, width) */
    const int64_t *lengths;                           /* (rows) */
    const int32_t *table, *own, *sources;             /* (rows, places), (rows), (rows) */
    const int64_t *memory_lengths;                    /* (sources) */
    int64_t memory_length;
    const float *cos, *sin; /* (rows, width / 2), or NULL */
    float *x, *found;       /* (rows, dim) in; (rows, logits.out) out */
    float *room;            /* rows * (3 dim + (heads + 2 groups) width + 2 inner) */
    uint16_t *rounded;      /* rows * the larger of dim and inner */
} Step;

/* Before the products of `x` (rows, in): rounds it, where they are of pairs. */
static void ready(const Step *s, int64_t in, const float *x) {
    if (s->low && PAIRED && s->rows >= SIDE) {
#pragma omp for schedule(static)
        for (int64_t start = 0; start < s->rows * in; start += 2 * FLOATS)
            for (int64_t i = 0; i < FLOATS; i++) {
                s->rounded[start + 2 * i] = to_low(x[start + i]);
                s->rounded[start + 2 * i + 1] = to_low(x[start + FLOATS + i]);
            }
    }
}

/* y (rows, stride) = x (rows, in) W^T + b, shared among the threads of the team; they do not wait for one another. */
static void step_multiply(const Step *s, const Matrix *m, int64_t in, const float *x, float *y, int64_t stride) {
    const int64_t tiles = (m->out + FLOATS - 1) / FLOATS;
#pragma omp for schedule(static) nowait
    for (int64_t part = 0; part < 32; part++) {
        const int64_t first = tiles * part / 32 * FLOATS, last = least(tiles * (part + 1) / 32 * FLOATS, m->out);
        if (s->low)
            span(1, m, in, first, last, x, s->rounded, s->rows, y, stride);
        else
            span(0, m, in, first, last, x, NULL, s->rows, y, stride);
    }
}

static void normed(const Norm *norm, double eps, int64_t dim, const float *x, float *y) {
    float sum = 0, squares = 0;
    if (!norm->gain) {
        memcpy(y, x, dim * 4);
        return;
    }
    if (norm->bias) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < dim; i++)
            sum += x[i];
    }
    const float mean = norm->bias ? sum / dim : 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < dim; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    const float factor = 1 / sqrtf(squares / dim + (float)eps);
    for (int64_t i = 0; i < dim; i++)
        y[i] = (x[i] - mean) * factor * norm->gain[i] + (norm->bias ? norm->bias[i] : 0);
}

/* The sum of a branch, and the norm of what is next: y = norm_after(x + scale b) or x + scale b. */
static void joined(const Step *s, const Norm *norm, double scale, const float *branch) {
#pragma omp for schedule(static)
    for (int64_t r = 0; r < s->rows; r++) {
        float *x = s->x + r * s->dim;
        for (int64_t i = 0; i < s->dim; i++)
            x[i] += (float)scale * branch[r * s->dim + i];
        if (!s->before)
            normed(norm, s->eps, s->dim, x, x);
    }
}

static const float *entered(const Step *s, const Norm *norm, float *h) {
    if (!s->before)
        return s->x;
#pragma omp for schedule(static)
    for (int64_t r = 0; r < s->rows; r++)
        normed(norm, s->eps, s->dim, s->x + r * s->dim, h + r * s->dim);
    return h;
}

INLINE void turned(float *x, int64_t width, const float *cos, const float *sin) {
    for (int64_t i = 0, half = width / 2; i < half; i++) {
        const float left = x[i], right = x[i + half];
        x[i] = left * cos[i] - right * sin[i];
        x[i + half] = right * cos[i] + left * sin[i];
    }
}

INLINE void put(void *to, int64_t at, const float *from, int64_t width, const int low) {
    for (int64_t i = 0; i < width; i++)
        if (low)
            ((uint16_t *)to)[at + i] = to_low(from[i]);
        else
            ((float *)to)[at + i] = from[i];
}

INLINE void add(float *out, const void *v, int64_t at, float weight, int64_t width, const int low) {
    const int64_t whole = width / FLOATS * FLOATS;
    for (int64_t i = 0; i < whole; i += FLOATS)
        *(wide *)(out + i) += weight * load_wide(v, at + i, low);
    for (int64_t i = whole; i < width; i++)
        out[i] += weight * load_one(v, at + i, low);
}

/* Scores -> weights, in place. */
INLINE void weigh(float *scores, int64_t count) {
    float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
    for (int64_t t = 0; t < count; t++)
        most = scores[t] > most ? scores[t] : most;
#pragma omp simd reduction(+ : sum)
    for (int64_t t = 0; t < count; t++) {
        scores[t] = exponential(scores[t] - most);
        sum += scores[t];
    }
    const float inverse = 1 / sum;
    for (int64_t t = 0; t < count; t++)
        scores[t] *= inverse;
}

/* One group of heads of one row: its new key and value into the cache, then its queries over all of the row's places. */
INLINE void seen(const Step *s, const int low, int64_t layer, int64_t r, int64_t g, float *qkv, float *out,
                 float *scores) {
    const int64_t K = s->width, share = s->heads / s->groups, now = s->lengths[r], plane = s->groups * s->block * K;
    const int64_t keys = layer * 2 * s->lanes * plane + g * s->block * K, values = keys + s->lanes * plane;
    float *key = qkv + (s->heads + g) * K, *value = key + s->groups * K;
    const int64_t at = s->own[r] * plane + now % s->block * K;
    void *newest = s->blocks[now / s->block];
    if (s->cos)
        turned(key, K, s->cos + r * (K / 2), s->sin + r * (K / 2));
    put(newest, keys + at, key, K, low);
    put(newest, values + at, value, K, low);
    for (int64_t h = g * share; h < (g + 1) * share; h++) {
        float *q = qkv + h * K, *to = out + h * K;
        const float scale = 1 / sqrtf((float)K);
        if (s->cos)
            turned(q, K, s->cos + r * (K / 2), s->sin + r * (K / 2));
        for (int64_t t = 0; t <= now; t++) {
            const int64_t place = s->table[r * s->places + t] * plane + t % s->block * K;
            scores[t] = scale * dot(q, s->blocks[t / s->block], keys + place, K, low);
        }
        weigh(scores, now + 1);
        memset(to, 0, K * 4);
        for (int64_t t = 0; t <= now; t++) {
            const int64_t place = s->table[r * s->places + t] * plane + t % s->block * K;
            add(to, s->blocks[t / s->block], values + place, scores[t], K, low);
        }
    }
}

INLINE void looked_back(const Step *s, const int low, const StepLayer *layer, int64_t r, int64_t g, const float *queries,
                        float *out, float *scores) {
    const int64_t K = s->width, share = s->heads / s->groups, source = s->sources[r], count = s->memory_lengths[source];
    const int64_t base = (source * s->groups + g) * s->memory_length * K;
    for (int64_t h = g * share; h < (g + 1) * share; h++) {
        float *to = out + h * K;
        const float scale = 1 / sqrtf((float)K);
        for (int64_t t = 0; t < count; t++)
            scores[t] = scale * dot(queries + h * K, layer->memory_keys, base + t * K, K, low);
        weigh(scores, count);
        memset(to, 0, K * 4);
        for (int64_t t = 0; t < count; t++)
            add(to, layer->memory_values, base + t * K, scores[t], K, low);
    }
}

INLINE float activated(float x, int64_t kind) {
    if (kind == 0)
        return x * normal_below(x, exponential(-0.5f * x * x));
    if (kind == 1) {
        const float z = 1.595769122f * (x + 0.044715f * x * x * x); /* 1 + tanh(z / 2) = 2 / (1 + exp(-z)) */
        return x / (1 + exponential(-z));
    }
    if (kind == 2)
        return x > 0 ? x : (x != x ? x : 0);
    return x / (1 + exponential(-x));
}

static void bent(const Step *s, float *up, const float *gate) {
    const int64_t count = s->rows * s->inner;
#pragma omp for schedule(static)
    for (int64_t start = 0; start < count; start += 256)
        for (int64_t i = start; i < least(count, start + 256); i++)
            up[i] = s->activation == 4 ? activated(gate[i], 3) * up[i] : activated(up[i], s->activation);
}

/* Returns 0, or 1: no memory. */
int write_step(const Step *s) {
    const int64_t R = s->rows, D = s->dim, K = s->width, wide_qkv = (s->heads + 2 * s->groups) * K;
    float *h = s->room, *out = h + R * D, *branch = out + R * D, *qkv = branch + R * D, *up = qkv + R * wide_qkv;
    float *gate = up + R * s->inner;
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *scores = scratch(s->places > s->memory_length ? s->places : s->memory_length);
        failed |= !scores;
        for (int64_t l = 0; l < s->num_layers; l++) {
            const StepLayer *layer = s->layers + l;
            const float *x = entered(s, &layer->attention, h);
            ready(s, D, x);
            step_multiply(s, &layer->query, D, x, qkv, wide_qkv);
            step_multiply(s, &layer->key, D, x, qkv + s->heads * K, wide_qkv);
            step_multiply(s, &layer->value, D, x, qkv + (s->heads + s->groups) * K, wide_qkv);
#pragma omp barrier
#pragma omp for schedule(static)
            for (int64_t pair = 0; pair < R * s->groups; pair++) {
                const int64_t r = pair / s->groups, g = pair % s->groups;
                if (!scores)
                    continue;
                if (s->low)
                    seen(s, 1, l, r, g, qkv + r * wide_qkv, out + r * s->heads * K, scores);
                else
                    seen(s, 0, l, r, g, qkv + r * wide_qkv, out + r * s->heads * K, scores);
            }
            ready(s, s->heads * K, out);
            step_multiply(s, &layer->output, s->heads * K, out, branch, D);
#pragma omp barrier
            joined(s, &layer->attention, layer->scales[0], branch);
            if (layer->memory_keys) {
                x = entered(s, &layer->cross, h);
                ready(s, D, x);
                step_multiply(s, &layer->cross_query, D, x, qkv, s->heads * K);
#pragma omp barrier
#pragma omp for schedule(static)
                for (int64_t pair = 0; pair < R * s->groups; pair++) {
                    const int64_t r = pair / s->groups, g = pair % s->groups, at = r * s->heads * K;
                    if (!scores)
                        continue;
                    if (s->low)
                        looked_back(s, 1, layer, r, g, qkv + at, out + at, scores);
                    else
                        looked_back(s, 0, layer, r, g, qkv + at, out + at, scores);
                }
                ready(s, s->heads * K, out);
                step_multiply(s, &layer->cross_output, s->heads * K, out, branch, D);
#pragma omp barrier
                joined(s, &layer->cross, layer->scales[1], branch);
            }
            x = entered(s, &layer->ffn, h);
            ready(s, D, x);
            if (s->activation == 4)
                step_multiply(s, &layer->gate, D, x, gate, s->inner);
            step_multiply(s, &layer->up, D, x, up, s->inner);
#pragma omp barrier
            bent(s, up, gate);
            ready(s, s->inner, up);
            step_multiply(s, &layer->down, s->inner, up, branch, D);
#pragma omp barrier
            joined(s, &layer->ffn, layer->scales[2], branch);
        }
        const float *x = entered(s, &s->exit, h);
        ready(s, D, x);
        step_multiply(s, &s->logits, D, x, s->found, s->logits.out);
        free(scores);
    }
    return failed;
}
