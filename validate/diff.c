#include "validate/diff.h"

#include "base/json.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    xg_arena *arena;
    const xg_family *family;
    const xg_program *p, *q;
    xg_diff *d;
} differ;

static void add(differ *k, const char *what, const char *a, const char *b) {
    k->d->differences++;
    if (k->d->line.n >= XG_DIFF_LINES_MAX) return;
    xg_diff_line l = {what, a, b};
    xg_push(k->arena, &k->d->line, l);
}

static void diff_text(differ *k, const char *what, const char *a, const char *b) {
    a = a ? a : "";
    b = b ? b : "";
    if (strcmp(a, b)) add(k, what, a, b);
}

static void diff_number(differ *k, const char *what, uint64_t a, uint64_t b) {
    if (a != b) add(k, what, xg_strf(k->arena, "%" PRIu64, a), xg_strf(k->arena, "%" PRIu64, b));
}

static void put_place(xg_buf *b, const xg_place *l) {
    if (l->on_chip)
        xg_putf(b, "chip addr=%u row=%u pix=%u row0=%u ring=%u il=%u lane=%u", l->addr, l->row_step,
                l->pix_step, l->row0, l->ring, l->il, l->lane);
    else
        xg_putf(b, "ddr region=%u addr=0x%x row=%u pix=%u image=%u", l->region, l->addr,
                l->row_step, l->pix_step, l->image_step);
}

static const char *tensor_text(xg_arena *a, const xg_prog_tensor *t) {
    xg_buf b = {.arena = a};
    xg_putf(&b,
            "%s [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "] scale=", xg_dtype_name(t->dtype),
            t->dim[0], t->dim[1], t->dim[2], t->dim[3]);
    xg_put_f32(&b, t->scale);
    xg_putf(&b, " zp=%d ", t->zp);
    if (t->materialised)
        put_place(&b, &t->place);
    else
        xg_puts(&b, "on chip only");
    return b.p;
}

static void diff_tensors(differ *k) {
    xg_map names = {.arena = k->arena};
    bool *seen = xg_newn(k->arena, bool, k->q->tensor.n);
    for (uint32_t i = 0; i < k->q->tensor.n; i++) xg_map_set(&names, k->q->tensor.v[i].name, i);
    for (uint32_t i = 0; i < k->p->tensor.n; i++) {
        const xg_prog_tensor *t = &k->p->tensor.v[i];
        uint32_t j = xg_map_get(&names, t->name);
        const char *x = tensor_text(k->arena, t), *y = NULL;
        if (j != XG_NONE) {
            seen[j] = true;
            y = tensor_text(k->arena, &k->q->tensor.v[j]);
        }
        if (!y || strcmp(x, y)) add(k, xg_strf(k->arena, "tensor '%s'", t->name), x, y);
    }
    for (uint32_t j = 0; j < k->q->tensor.n; j++)
        if (!seen[j])
            add(k, xg_strf(k->arena, "tensor '%s'", k->q->tensor.v[j].name), NULL,
                tensor_text(k->arena, &k->q->tensor.v[j]));
}

static const char *row_text(xg_arena *a, const xg_program *p, uint32_t i) {
    const xg_map_row *r = &p->map.v[i];
    xg_buf b = {.arena = a};
    const char *flat = r->flat ? xg_strf(a, " (flat, rows of %u)", r->flat) : "";
    xg_putf(
        &b,
        "%s image %u rows %u..%u columns %u..%u%s channels %u..%u by segment %u core %u [%u,%u) "
        "group %u "
        "tile %u node %s: ",
        r->tensor < p->tensor.n ? p->tensor.v[r->tensor].name : "?", r->n, r->h0, r->h1, r->w0,
        r->w1, flat, r->c0, r->c1, r->segment, r->core, r->first, r->last, r->group, r->tile,
        r->node);
    put_place(&b, &r->place);
    return b.p;
}

static void diff_map(differ *k) {
    uint32_t n = k->p->map.n > k->q->map.n ? k->p->map.n : k->q->map.n;
    for (uint32_t i = 0; i < n; i++) {
        const char *x = i < k->p->map.n ? row_text(k->arena, k->p, i) : NULL;
        const char *y = i < k->q->map.n ? row_text(k->arena, k->q, i) : NULL;
        if (!x || !y || strcmp(x, y)) add(k, xg_strf(k->arena, "map row %u", i), x, y);
    }
}

static const char *step_text(xg_arena *a, const xg_program *p, uint32_t i) {
    const xg_step *s = &p->step.v[i];
    xg_buf b = {.arena = a};
    if (s->kind == XG_STEP_HOST) {
        xg_puts(&b, "host");
        for (uint32_t n = 0; n < s->nnode; n++)
            xg_putf(&b, " %s",
                    p->host && s->node[n] < p->host->node.n ? p->host->node.v[s->node[n]].name
                                                            : "?");
        return b.p;
    }
    xg_putf(&b, "accelerator segment %u reads", s->segment);
    for (uint32_t n = 0; n < s->nread; n++)
        xg_putf(&b, " %s", s->read[n] < p->tensor.n ? p->tensor.v[s->read[n]].name : "?");
    xg_puts(&b, " writes");
    for (uint32_t n = 0; n < s->nwritten; n++)
        xg_putf(&b, " %s", s->written[n] < p->tensor.n ? p->tensor.v[s->written[n]].name : "?");
    return b.p;
}

static void diff_steps(differ *k) {
    uint32_t n = k->p->step.n > k->q->step.n ? k->p->step.n : k->q->step.n;
    for (uint32_t i = 0; i < n; i++) {
        const char *x = i < k->p->step.n ? step_text(k->arena, k->p, i) : NULL;
        const char *y = i < k->q->step.n ? step_text(k->arena, k->q, i) : NULL;
        if (!x || !y || strcmp(x, y)) add(k, xg_strf(k->arena, "step %u", i), x, y);
    }
}

static void diff_constants(differ *k) {
    xg_bytes a = k->p->constants, b = k->q->constants;
    diff_number(k, "bytes of constants", a.n, b.n);
    size_t n = a.n < b.n ? a.n : b.n, first = n, count = 0;
    for (size_t i = 0; i < n; i++) {
        if (a.p[i] == b.p[i]) continue;
        if (first == n) first = i;
        count++;
    }
    if (count)
        add(k, xg_strf(k->arena, "constants, %zu bytes, first at 0x%zx", count, first),
            xg_strf(k->arena, "0x%02x", a.p[first]), xg_strf(k->arena, "0x%02x", b.p[first]));
}

static bool same_inst(const xg_family *f, const xg_inst *a, const xg_inst *b) {
    if (a->op != b->op || a->wait != b->wait || a->post != b->post) return false;
    return a->op >= f->ninst || !memcmp(a->f, b->f, f->inst[a->op].noperand * sizeof *a->f);
}

static const char *inst_text(const differ *k, const xg_stream *s, uint32_t i) {
    xg_buf b = {.arena = k->arena};
    xg_inst_print(k->family, &s->inst[i], &b);
    return b.p;
}

static void diff_stream(differ *k, uint32_t segment, uint32_t core, const xg_stream *a,
                        const xg_stream *b) {
    uint32_t n = a->n < b->n ? a->n : b->n, head = 0, tail = 0;
    while (head < n && same_inst(k->family, &a->inst[head], &b->inst[head])) head++;
    while (tail < n - head &&
           same_inst(k->family, &a->inst[a->n - 1 - tail], &b->inst[b->n - 1 - tail]))
        tail++;
    uint32_t left = a->n - head - tail, right = b->n - head - tail,
             most = left > right ? left : right;
    for (uint32_t i = 0; i < most; i++) {
        uint32_t at = head + i;
        if (i < left && i < right && same_inst(k->family, &a->inst[at], &b->inst[at])) continue;
        if (k->d->line.n >= XG_DIFF_LINES_MAX) {
            k->d->differences++;
            continue;
        }
        add(k, xg_strf(k->arena, "segment %u core %u instruction %u", segment, core, at),
            i < left ? inst_text(k, a, at) : NULL, i < right ? inst_text(k, b, at) : NULL);
    }
}

static void diff_segments(differ *k) {
    static const xg_stream none = {0};
    uint32_t n = k->p->segment.n > k->q->segment.n ? k->p->segment.n : k->q->segment.n;
    for (uint32_t s = 0; s < n; s++) {
        const xg_segment *a = s < k->p->segment.n ? &k->p->segment.v[s] : NULL;
        const xg_segment *b = s < k->q->segment.n ? &k->q->segment.v[s] : NULL;
        uint32_t ca = a ? a->ncore : 0, cb = b ? b->ncore : 0;
        for (uint32_t c = 0; c < ca || c < cb; c++)
            diff_stream(k, s, c, c < ca ? &a->core[c] : &none, c < cb ? &b->core[c] : &none);
    }
}

void xg_diff_programs(xg_arena *a, const xg_family *f, const xg_program *p, const xg_program *q,
                      xg_diff *out) {
    static const char *const region[XG_REGIONS] = {"constants", "workspace", "inputs", "outputs"};
    memset(out, 0, sizeof *out);
    differ k = {a, f, p, q, out};
    diff_text(&k, "machine", p->machine_name, q->machine_name);
    diff_text(&k, "machine digest", p->machine_digest, q->machine_digest);
    diff_text(&k, "encoding digest", p->encoding_digest, q->encoding_digest);
    diff_text(&k, "requantisation record", p->record_text, q->record_text);
    diff_text(&k, "input digest", p->input_digest, q->input_digest);
    diff_text(&k, "strategy", p->strategy, q->strategy);
    diff_text(&k, "options", p->options, q->options);
    diff_number(&k, "cores", p->ncore, q->ncore);
    for (int i = 0; i < XG_REGIONS; i++)
        diff_number(&k, xg_strf(a, "DDR bytes of %s", region[i]), p->region_bytes[i],
                    q->region_bytes[i]);
    diff_steps(&k);
    diff_tensors(&k);
    diff_constants(&k);
    diff_segments(&k);
    diff_map(&k);
}

void xg_diff_print_text(const xg_diff *d, xg_buf *out) {
    for (uint32_t i = 0; i < d->line.n; i++) {
        const xg_diff_line *l = &d->line.v[i];
        xg_putf(out, "%s\n", l->what);
        if (l->a) xg_putf(out, "  - %s\n", l->a);
        if (l->b) xg_putf(out, "  + %s\n", l->b);
    }
    if (d->differences == 0)
        xg_puts(out, "the binaries are equal\n");
    else if (d->differences > d->line.n)
        xg_putf(out, "%" PRIu64 " differences, %u shown\n", d->differences, d->line.n);
    else
        xg_putf(out, "%" PRIu64 " difference%s\n", d->differences, d->differences == 1 ? "" : "s");
}

void xg_diff_print_json(const xg_diff *d, xg_buf *out) {
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kbool(&j, "equal", d->differences == 0);
    xg_json_kint(&j, "differences", (int64_t)d->differences);
    xg_json_key(&j, "shown");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < d->line.n; i++) {
        xg_json_open(&j, '{');
        xg_json_kstr(&j, "what", d->line.v[i].what);
        if (d->line.v[i].a) xg_json_kstr(&j, "a", d->line.v[i].a);
        if (d->line.v[i].b) xg_json_kstr(&j, "b", d->line.v[i].b);
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}
