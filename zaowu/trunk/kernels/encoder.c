/* All blocks of an encoder without a gradient, in one call: norm after, gelu, products in bfloat16.
 *
 *     x <- norm(x + attention(x) W_out + b_out),  x <- norm(x + gelu(x W_up + b_up) W_down + b_down)
 *
 * Many tokens: every thread takes some records through all blocks by itself, so that what stands between two products
 * stays in its cache and nobody waits. Few tokens: all threads work on the columns of the same products, and wait for
 * one another between the steps. Every number is made in the same order either way.
 *
 * Here alone a processor's own function is used: the sum of two products of bfloat16, which no C can say. Where it is
 * missing, or where the processor multiplies whole tiles (AMX), which this file does not, `encoder_fits` says 0.
 */
#include "common.h"

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
#include <immintrin.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define COLUMNS 64 /* of a panel of weights: four vectors */
#define TALL 6     /* rows at a time: with four vectors of sums each, what the registers hold */
#define SHARE 96   /* tokens that a thread takes through all blocks: they fit its cache */

typedef struct {
    const uint16_t *weight; /* (out / COLUMNS, in / 2, COLUMNS, 2) */
    const float *bias;      /* (out) */
} Product;

typedef struct {
    Product qkv, output, up, down;
    const float *gain[2], *bias[2]; /* of the norms behind attention and feed-forward */
    double eps[2];
} Layer;

typedef struct {
    const Layer *layers;
    int64_t num_layers, dim, inner;
} Encoder;

/* What some rows need on their way, (rows, ...) each. starts: (records + 1) from 0. */
typedef struct {
    Attention at;
    float *x, *sums;
    uint16_t *low, *qkv, *seen, *inner;
    int64_t rows;
} Room;

/* Who works on the same rows. memory: of this thread. */
typedef struct {
    int64_t me, size;
    float *memory, *ones;
} Member;

INLINE void wait(const Member *who) {
    if (who->size > 1) {
#pragma omp barrier
    }
}

/* (rows, COLUMNS) of a product, rows at most TALL and known to the compiler. */
INLINE void multiply(const int rows, int64_t depth, const uint16_t *a, const uint16_t *b, const float *bias, int bends,
                     uint16_t *out, int64_t width) {
    __m512 sums[TALL][4];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 4; v++)
            sums[r][v] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 2, b += 2 * COLUMNS) {
        __m512bh right[4];
        for (int v = 0; v < 4; v++)
            right[v] = (__m512bh)_mm512_loadu_si512(b + 32 * v);
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, a + r * depth + k, 4);
            const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
            for (int v = 0; v < 4; v++)
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], left, right[v]);
        }
    }
    for (int r = 0; r < rows; r++) {
        float row[COLUMNS];
        for (int v = 0; v < 4; v++)
            _mm512_storeu_ps(row + 16 * v, _mm512_add_ps(sums[r][v], _mm512_loadu_ps(bias + 16 * v)));
        uint16_t *to = out + r * width;
        for (int j = 0; j < COLUMNS; j++)
            to[j] = to_low(row[j]);
        if (bends)
            for (int j = 0; j < COLUMNS; j++) {
                const float z = from_low(to[j]);
                to[j] = to_low(z * normal_below(z, exponential(-0.5f * z * z)));
            }
    }
}

/* out = a W + b, then gelu where it `bends`. a: (rows, depth). out: (rows, width). This member's part of it. */
static void apply(const Member *who, const Product *by, int64_t rows, int64_t depth, int64_t width, const uint16_t *a,
                  int bends, uint16_t *out) {
    const int64_t tiles = (rows + TALL - 1) / TALL, all = width / COLUMNS * tiles;
    for (int64_t item = all * who->me / who->size; item < all * (who->me + 1) / who->size; item++) {
        const int64_t column = item / tiles * COLUMNS, tile = item % tiles;
        const int64_t first = rows * tile / tiles, count = rows * (tile + 1) / tiles - first;
        const uint16_t *from = a + first * depth, *weight = by->weight + column * depth;
        const float *bias = by->bias + column;
        uint16_t *to = out + first * width + column;
#define TILE(n)                                                                                                        \
    case n:                                                                                                            \
        multiply(n, depth, from, weight, bias, bends, to, width);                                                      \
        break;
        switch (count) { TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) }
#undef TILE
    }
}

/* x = norm(x + y), and its copy in bfloat16. This member's rows. */
static void settle(const Member *who, const Room *room, int64_t width, const uint16_t *y, const Layer *layer, int which) {
    float moments[2];
    for (int64_t i = room->rows * who->me / who->size; i < room->rows * (who->me + 1) / who->size; i++) {
        float *x = room->x + i * width;
        norm_row(width, x, y + i * width, 1, who->ones, layer->gain[which], layer->bias[which],
                 (float)layer->eps[which], x, x, room->low + i * width, moments);
    }
}

/* This member's part of all blocks on the rows of a room. */
static void pass(const Encoder *encoder, const Room *room, const Member *who) {
    const Attention *at = &room->at;
    const int64_t D = encoder->dim, F = encoder->inner, M = room->rows, W = (at->heads + 2 * at->groups) * at->width;
    const int64_t pairs = at->batch * at->groups;
    for (int64_t i = M * D * who->me / who->size; i < M * D * (who->me + 1) / who->size; i++)
        room->low[i] = to_low(room->x[i]);
    for (int64_t l = 0; l < encoder->num_layers; l++) {
        const Layer *layer = encoder->layers + l;
        wait(who);
        apply(who, &layer->qkv, M, D, W, room->low, 0, room->qkv);
        wait(who);
        for (int64_t pair = pairs * who->me / who->size; pair < pairs * (who->me + 1) / who->size; pair++) {
            const int64_t b = pair / at->groups;
            if (at->starts[b + 1] > at->starts[b])
                attend(at, room->qkv, 1, room->seen, 1, room->sums, b, pair % at->groups, who->memory);
        }
        wait(who);
        apply(who, &layer->output, M, D, D, room->seen, 0, room->qkv);
        wait(who);
        settle(who, room, D, room->qkv, layer, 0);
        wait(who);
        apply(who, &layer->up, M, D, F, room->low, 1, room->inner);
        wait(who);
        apply(who, &layer->down, M, F, D, room->inner, 0, room->qkv);
        wait(who);
        settle(who, room, D, room->qkv, layer, 1);
    }
}

/* Bytes of a room's rows beside x, and where each array stands in them. */
INLINE int64_t furnish(Room *room, const Encoder *encoder, char *memory) {
    const Attention *at = &room->at;
    const int64_t W = (at->heads + 2 * at->groups) * at->width, M = room->rows, D = encoder->dim;
    const int64_t sizes[] = {M * D * 2, M * W * 2, M * D * 2, M * encoder->inner * 2, M * at->heads * 4};
    char *places[5];
    int64_t total = 0;
    for (int i = 0; i < 5; i++) {
        places[i] = memory + total;
        total += round_up(sizes[i], 64);
    }
    room->low = (uint16_t *)places[0], room->qkv = (uint16_t *)places[1], room->seen = (uint16_t *)places[2];
    room->inner = (uint16_t *)places[3], room->sums = (float *)places[4];
    return total;
}

/* The last record, not included, of those from `first` on that a thread takes at once: one, or SHARE tokens of them. */
INLINE int64_t span_end(const Attention *at, int64_t first) {
    int64_t end = first + 1;
    while (end < at->batch && at->starts[end + 1] - at->starts[first] <= SHARE)
        end++;
    return end;
}

int encoder_fits(void) { return 1; }

/* x: (N, D), replaced by the states behind the last block. Returns 0, or 1: no memory. */
int encoder_forward(const Encoder *encoder, const Attention *at, float *x) {
    const int64_t D = encoder->dim, working = round_up((attention_room(at) + D) * 4, 64);
    int64_t *spans = malloc((at->batch + 1) * sizeof *spans), count = 0, longest = 0, threads = 1;
    if (!spans)
        return 1;
    for (int64_t b = 0, end; b < at->batch; b = end) {
        end = span_end(at, b);
        spans[count++] = b, spans[count] = end;
        const int64_t rows = at->starts[end] - at->starts[b];
        longest = rows > longest ? rows : longest;
    }
#ifdef _OPENMP
    threads = omp_get_max_threads();
#endif
    const int together = count < 2 * threads; /* some would have nothing to do */
    Room shared = {.at = *at, .x = x, .rows = together ? at->starts[at->batch] : longest};
    const int64_t room_bytes = furnish(&shared, encoder, NULL), starts_bytes = round_up((at->batch + 1) * 8, 64);
    const int64_t each = working + (together ? 0 : room_bytes + starts_bytes);
    char *memory = (char *)scratch((threads * each + (together ? room_bytes : 0)) / 4);
    if (memory && together)
        furnish(&shared, encoder, memory + threads * each);
    if (memory)
#pragma omp parallel num_threads(threads)
    {
        int64_t number = 0, size = 1;
#ifdef _OPENMP
        number = omp_get_thread_num(), size = omp_get_num_threads();
#endif
        char *own = memory + number * each, *room_memory = own + working;
        Member who = {together ? number : 0, together ? size : 1, (float *)own, (float *)own + attention_room(at)};
        for (int64_t j = 0; j < D; j++)
            who.ones[j] = 1;
        if (together)
            pass(encoder, &shared, &who);
        else {
            int64_t *starts = (int64_t *)(room_memory + room_bytes);
#pragma omp for schedule(dynamic, 1)
            for (int64_t span = 0; span < count; span++) {
                const int64_t first = spans[span], records = spans[span + 1] - first, row = at->starts[first];
                for (int64_t b = 0; b <= records; b++)
                    starts[b] = at->starts[first + b] - row;
                Room room = {.at = *at, .x = x + row * D, .rows = starts[records]};
                room.at.starts = starts, room.at.batch = records;
                room.at.documents = at->documents ? at->documents + row : NULL;
                furnish(&room, encoder, room_memory);
                pass(encoder, &room, &who);
            }
        }
    }
    const int failed = !memory;
    free(memory);
    free(spans);
    return failed;
}

#else

int encoder_fits(void) { return 0; }

#endif
