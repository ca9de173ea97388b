#include "isa/hazard.h"

#include <string.h>

enum { WORD = 64, PAGE_WORDS = 16, PAGE = WORD * PAGE_WORDS };

/* Units of a word that are in one state. */
typedef struct part {
    uint64_t units;
    xg_touch t;
} part;

/* The parts of a word hold each of its units once; n = 0: all are in the page's common state.
 * Convolutions read all parts of a word again and again, each written by an instruction of its own:
 * such reads are noted once for the word. A part's last reader is the later one of its own and the
 * word's. */
typedef struct word {
    uint8_t *v;
    uint32_t n, cap;
    uint32_t *read; /* [slots] readers of all units since the last write; NULL: none */
} word;

struct xg_span_page {
    xg_touch *common; /* NULL: untouched */
    word *word;       /* [PAGE_WORDS]; NULL: all in the common state */
};

/* One access. */
typedef struct access {
    xg_span_map *m;
    bool write;
    uint32_t slot, seq;
    xg_touch_fn fn;
    void *arg;
    uint64_t word, units; /* of this word, gathered so far */
} access;

static part *part_at(const xg_span_map *m, const word *w, uint32_t i) {
    return (part *)(void *)(w->v + i * m->stride);
}

static void map_init(xg_span_map *m, xg_arena *a, uint32_t slots) {
    size_t state = sizeof(xg_touch) + slots * sizeof(uint32_t);
    *m = (xg_span_map){.arena = a, .slots = slots, .state = state};
    m->stride = (offsetof(part, t) + state + 7) / 8 * 8;
    m->untouched = xg_alloc(a, state);
}

static struct xg_span_page *page_of(xg_span_map *m, uint64_t index) {
    if (index >= m->npage) {
        uint64_t n = m->npage ? m->npage : 16;
        while (n <= index) n *= 2;
        struct xg_span_page *page = xg_newn(m->arena, struct xg_span_page, n);
        if (m->npage) memcpy(page, m->page, m->npage * sizeof *page);
        m->page = page, m->npage = n;
    }
    return &m->page[index];
}

/* Most machines have four slots: a copy of a part whose size the compiler knows. */
static void copy_part(const xg_span_map *m, part *to, const part *from) {
    enum { USUAL = offsetof(part, t) + sizeof(xg_touch) + 4 * sizeof(uint32_t) };
    memcpy(to, from, m->stride == USUAL ? (size_t)USUAL : m->stride);
}

static part *new_part(const xg_span_map *m, word *w) {
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 2;
        uint8_t *v = xg_alloc_array(m->arena, cap, m->stride);
        if (w->n) memcpy(v, w->v, w->n * m->stride);
        w->v = v, w->cap = cap;
    }
    return part_at(m, w, w->n++);
}

/* The whole word in one state. */
static void fill_word(const xg_span_map *m, word *w, const xg_touch *t) {
    part *p = new_part(m, w);
    p->units = UINT64_MAX;
    memcpy(&p->t, t, m->state);
}

static bool same_state(const xg_span_map *m, const part *a, const part *b) {
    bool same = a->t.write_seq == b->t.write_seq && a->t.write_slot == b->t.write_slot;
    for (uint32_t s = 0; same && s < m->slots; s++) same = a->t.read[s] == b->t.read[s];
    return same;
}

/* `both` of the units of part i were read: they leave it for one in their new state. */
static void split_read(const access *x, word *w, uint32_t i, uint64_t both) {
    const xg_span_map *m = x->m;
    part *q = new_part(m, w), *p = part_at(m, w, i);
    p->units &= ~both;
    copy_part(m, q, p);
    q->units = both;
    q->t.read[x->slot] = x->seq;
    for (uint32_t k = 0; k + 1 < w->n; k++)
        if (same_state(m, part_at(m, w, k), q)) {
            part_at(m, w, k)->units |= both;
            w->n--;
            return;
        }
}

/* The part of one unit: most often one was appended for each unit in turn. */
static uint32_t part_of(const xg_span_map *m, const word *w, uint64_t unit) {
    uint32_t i = (uint32_t)__builtin_ctzll(unit) + 1;
    if (i < w->n && (part_at(m, w, i)->units & unit)) return i;
    for (i = 0; !(part_at(m, w, i)->units & unit);) i++;
    return i;
}

/* The word's readers become its parts'. */
static void give_reads(const xg_span_map *m, word *w) {
    for (uint32_t i = 0; w->read && i < w->n; i++) {
        part *p = part_at(m, w, i);
        for (uint32_t s = 0; s < m->slots; s++)
            if (w->read[s] > p->t.read[s]) p->t.read[s] = w->read[s];
    }
    w->read = NULL;
}

/* All units: a slot that has read them since the last write is ordered after that. */
static void read_whole(const access *x, word *w, uint64_t base) {
    const xg_span_map *m = x->m;
    if (!w->read) w->read = xg_newn(m->arena, uint32_t, m->slots);
    for (uint32_t i = 0; !w->read[x->slot] && i < w->n; i++) {
        part *p = part_at(m, w, i);
        x->fn(x->arg, &p->t, base + (uint32_t)__builtin_ctzll(p->units));
    }
    w->read[x->slot] = x->seq;
}

static void read_word(const access *x, word *w, uint64_t base, uint64_t units) {
    const xg_span_map *m = x->m;
    if (units == UINT64_MAX && w->n > 1) {
        read_whole(x, w, base);
        return;
    }
    bool one = !(units & (units - 1));
    uint32_t first = one ? part_of(m, w, units) : 0, end = one ? first + 1 : w->n;
    for (uint32_t i = first; i < end; i++) {
        part *p = part_at(m, w, i);
        uint64_t both = p->units & units;
        if (!both) continue;
        x->fn(x->arg, &p->t, base + (uint32_t)__builtin_ctzll(both));
        if (both == p->units)
            p->t.read[x->slot] = x->seq;
        else if (p->t.read[x->slot] != x->seq)
            split_read(x, w, i, both);
    }
}

static void set_written(const access *x, xg_touch *t) {
    t->write_slot = x->slot, t->write_seq = x->seq;
    for (uint32_t s = 0; s < x->m->slots; s++) t->read[s] = 0;
}

/* One unit, which is in one part. */
static void write_unit(const access *x, word *w, uint64_t base, uint64_t unit) {
    const xg_span_map *m = x->m;
    part *p = part_at(m, w, part_of(m, w, unit));
    x->fn(x->arg, &p->t, base + (uint32_t)__builtin_ctzll(unit));
    if (p->units != unit) {
        p->units &= ~unit;
        p = new_part(m, w);
        p->units = unit;
    }
    set_written(x, &p->t);
}

static void write_word(const access *x, word *w, uint64_t base, uint64_t units) {
    const xg_span_map *m = x->m;
    part *own = NULL; /* what this access, or a part that it empties, has already */
    give_reads(m, w);
    if (!(units & (units - 1))) {
        write_unit(x, w, base, units);
        return;
    }
    for (uint32_t i = 0; i < w->n;) {
        part *p = part_at(m, w, i);
        uint64_t both = p->units & units;
        if (both) x->fn(x->arg, &p->t, base + (uint32_t)__builtin_ctzll(both));
        p->units &= ~both;
        if (!p->units && own) {
            if (i < --w->n) copy_part(m, p, part_at(m, w, w->n));
            continue;
        }
        bool ours = p->t.write_seq == x->seq && p->t.write_slot == x->slot;
        if (!own && (!p->units || ours)) own = p;
        i++;
    }
    if (!own) own = new_part(m, w), own->units = 0;
    own->units |= units;
    set_written(x, &own->t);
}

static void touch_word(const access *x, word *w, uint64_t base, uint64_t units) {
    if (x->write)
        write_word(x, w, base, units);
    else
        read_word(x, w, base, units);
}

static void touch_gathered(access *x) {
    xg_span_map *m = x->m;
    if (!x->units) return;
    struct xg_span_page *p = page_of(m, x->word / PAGE_WORDS);
    if (!p->word) p->word = xg_newn(m->arena, word, PAGE_WORDS);
    word *w = &p->word[x->word % PAGE_WORDS];
    if (!w->n) fill_word(m, w, p->common ? p->common : m->untouched);
    touch_word(x, w, x->word * WORD, x->units);
    x->units = 0;
}

static bool is_common(const struct xg_span_page *p) {
    for (uint32_t k = 0; p->word && k < PAGE_WORDS; k++)
        if (p->word[k].n) return false;
    return true;
}

/* All units of a page. */
static void touch_page(const access *x, uint64_t index) {
    xg_span_map *m = x->m;
    struct xg_span_page *p = page_of(m, index);
    bool common = is_common(p);
    if (!p->common) p->common = xg_alloc(m->arena, m->state);
    if (common) x->fn(x->arg, p->common, index * PAGE);
    for (uint32_t k = 0; !common && k < PAGE_WORDS; k++) {
        if (!p->word[k].n) fill_word(m, &p->word[k], p->common);
        touch_word(x, &p->word[k], index * PAGE + k * WORD, UINT64_MAX);
        if (x->write) p->word[k].n = 0, p->word[k].read = NULL;
    }
    if (!common && !x->write) return;
    if (x->write)
        set_written(x, p->common);
    else
        p->common->read[x->slot] = x->seq;
}

static uint64_t low_bits(uint64_t n) {
    return n < WORD ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
}

/* Units [unit, end): gathered until another word is reached. */
static void run(access *x, uint64_t unit, uint64_t end) {
    while (unit < end) {
        uint64_t at = unit / WORD, from = unit % WORD, stop = (at + 1) * WORD;
        if (at != x->word) touch_gathered(x);
        x->word = at;
        if (unit % PAGE == 0 && end - unit >= PAGE) {
            x->units = 0;
            touch_page(x, unit / PAGE);
            unit += PAGE;
            continue;
        }
        x->units |= low_bits(end - at * WORD) & ~low_bits(from);
        unit = stop;
    }
}

/* `rows` runs of `count` units, `step` (less than a word, not less than count) apart: word by word.
 */
static void strided_runs(access *x, uint64_t unit, uint32_t count, uint32_t rows, uint32_t step) {
    uint64_t pattern = 0;
    for (uint32_t k = 0; k < WORD; k += step) pattern |= low_bits(count) << k;
    while (rows) {
        uint64_t at = unit / WORD, from = unit % WORD;
        uint32_t n = (uint32_t)xg_min(xg_ceil_div((int64_t)(WORD - from), step), rows);
        uint64_t end = from + (uint64_t)(n - 1) * step + count; /* may lie in the next word */
        if (at != x->word) touch_gathered(x);
        x->word = at;
        x->units |= (pattern & low_bits((uint64_t)n * step)) << from;
        if (end > WORD) run(x, (at + 1) * WORD, at * WORD + end);
        unit += (uint64_t)n * step;
        rows -= n;
    }
}

void xg_hazards_init(xg_hazards *h, xg_arena *a, const xg_machine *m, uint32_t slots) {
    for (uint8_t i = 0; i < XG_COUNT(h->mem); i++) {
        xg_mem_desc d = {NULL, 0, 0, 0};
        if (i < m->family->nmem) m->family->mem_desc(m, i, &d);
        h->depth[i] = d.depth;
        map_init(&h->mem[i], a, slots);
    }
    for (int r = 0; r < XG_REGIONS; r++) map_init(&h->region[r], a, slots);
}

void xg_hazards_touch(xg_hazards *h, const xg_access *x, uint32_t slot, uint32_t seq,
                      xg_touch_fn fn, void *arg) {
    uint64_t base = x->mem ? (uint64_t)x->bank * h->depth[x->mem] : 0;
    access to = {.m = x->mem ? &h->mem[x->mem] : &h->region[x->region],
                 .write = x->write,
                 .slot = slot,
                 .seq = seq,
                 .fn = fn,
                 .arg = arg};
    bool strided = x->step == 1 && x->count <= x->row_step && x->row_step < WORD;
    if (strided) strided_runs(&to, base + x->addr, x->count, x->rows, x->row_step);
    for (uint32_t r = 0; !strided && r < x->rows; r++) {
        uint64_t unit = base + x->addr + (uint64_t)r * x->row_step;
        if (x->step == 1) {
            run(&to, unit, unit + x->count);
            continue;
        }
        for (uint32_t i = 0; i < x->count; i++)
            run(&to, unit + (uint64_t)i * x->step, unit + (uint64_t)i * x->step + 1);
    }
    touch_gathered(&to);
}

typedef struct needs {
    uint32_t *need, slots;
} needs;

static void raise(uint32_t *v, uint32_t to) {
    if (*v < to) *v = to;
}

static void meet_read(void *arg, const xg_touch *t, uint64_t unit) {
    const needs *n = arg;
    (void)unit;
    raise(&n->need[t->write_slot], t->write_seq);
}

static void meet_write(void *arg, const xg_touch *t, uint64_t unit) {
    const needs *n = arg;
    meet_read(arg, t, unit);
    for (uint32_t s = 0; s < n->slots; s++) raise(&n->need[s], t->read[s]);
}

void xg_hazards_need(xg_hazards *h, const xg_access *x, uint32_t slot, uint32_t seq,
                     uint32_t *need) {
    needs n = {need, h->mem[0].slots};
    xg_hazards_touch(h, x, slot, seq, x->write ? meet_write : meet_read, &n);
}
