/* The .plan form: the selection's lines, then `plan`, places, pieces, steps, and for each core its
 * buffers and tasks. */
#include "layout/plan_types.h"

#include "base/text.h"

#include <string.h>

static const char *const task_names[XG_TASK_COUNT] = {"load", "loadc", "conv",   "pool", "elew",
                                                      "lut",  "save",  "signal", "await"};
static const char *const piece_names[] = {"conv_w", "dw_w", "param", "table", "tensor"};

/* ---- printing
 * ---------------------------------------------------------------------------------------------- */

static void put_name(xg_buf *out, const char *key, const char *name) {
    xg_putf(out, " %s=", key);
    xg_put_quoted(out, name, false);
}

static void put_tensor(const xg_plan *p, const char *key, uint32_t t, xg_buf *out) {
    if (t != XG_NONE) put_name(out, key, xg_tensorp(p->graph, t)->name);
}

static void put_slice(const xg_slice *s, xg_buf *out) {
    xg_putf(out, " slice=[%u,%u,%u,%u,%u,%u,%u]", s->n, s->h0, s->h1, s->w0, s->w1, s->c0, s->c1);
}

static void print_places(const xg_plan *p, xg_buf *out) {
    for (uint32_t t = 0; t < p->graph->tensor.n; t++) {
        const xg_place_row *r = &p->place[t];
        if (!r->placed) continue;
        xg_puts(out, "place");
        put_tensor(p, "tensor", t, out);
        xg_putf(out, " region=%u addr=%u row=%u pix=%u image=%u", r->place.region, r->place.addr,
                r->place.row_step, r->place.pix_step, r->place.image_step);
        if (r->root != t) put_tensor(p, "in", r->root, out);
        if (r->apart) xg_puts(out, " apart=1");
        xg_puts(out, "\n");
    }
}

static void print_pieces(const xg_plan *p, xg_buf *out) {
    for (uint32_t i = 0; i < p->piece.n; i++) {
        const xg_piece *c = &p->piece.v[i];
        xg_putf(out, "piece %u kind=%s", i, piece_names[c->kind]);
        if (c->kind == XG_PIECE_TENSOR)
            put_tensor(p, "tensor", c->node, out);
        else
            put_name(out, "node", xg_nodep(p->graph, c->node)->name);
        xg_putf(out, " c=[%u,%u] i=[%u,%u] fold=%u addr=%u bytes=%u\n", c->c0, c->c1, c->i0, c->i1,
                c->fold, c->addr, c->bytes);
    }
}

static void put_index(xg_buf *out, uint32_t v, const char *after) {
    if (v == XG_NONE)
        xg_putf(out, "-%s", after);
    else
        xg_putf(out, "%u%s", v, after);
}

static void print_buffer(const xg_plan *p, uint32_t i, const xg_buffer *b, xg_buf *out) {
    xg_putf(out,
            "buffer %u mem=%u size=%u addr=%u live=[%u,%u] stage=[%u,%u] ahead=%u fold=%u ring=%u "
            "il=%u row=%u pix=%u",
            i, b->mem, b->size, b->addr, b->first, b->last, b->soft_first, b->soft_last, b->ahead,
            b->fold, b->ring, b->il, b->row, b->pix);
    put_tensor(p, "tensor", b->tensor, out);
    put_slice(&b->s, out);
    xg_puts(out, b->flat ? " flat=1\n" : "\n");
}

static void print_task(const xg_plan *p, const xg_task *t, xg_buf *out) {
    const uint32_t used[] = {t->in, t->in2, t->w, t->p, t->out, t->psum};
    xg_putf(out, "task %s stage=%u group=%u tile=%u", task_names[t->kind], t->stage, t->group,
            t->tile);
    if (t->node != XG_NONE) put_name(out, "node", xg_nodep(p->graph, t->node)->name);
    put_tensor(p, "tensor", t->tensor, out);
    put_slice(&t->s, out);
    xg_puts(out, " buffers=[");
    for (uint32_t i = 0; i < XG_COUNT(used); i++)
        put_index(out, used[i], i + 1 < XG_COUNT(used) ? "," : "]");
    xg_putf(out, " chunk=[%u,%u] acc=[%u,%u] piece=", t->i0, t->i1, t->acc_in, t->acc_out);
    put_index(out, t->piece, "\n");
}

void xg_plan_print(const xg_plan *p, xg_buf *out) {
    xg_selection_print(p->sel, out);
    xg_puts(out, "plan");
    put_name(out, "machine", p->machine->name);
    put_name(out, "digest", p->machine->digest);
    xg_putf(out, " const=%llu work=%llu in=%llu out=%llu\n", (unsigned long long)p->region_bytes[0],
            (unsigned long long)p->region_bytes[1], (unsigned long long)p->region_bytes[2],
            (unsigned long long)p->region_bytes[3]);
    print_places(p, out);
    print_pieces(p, out);
    for (uint32_t i = 0; i < p->step.n; i++) {
        const xg_plan_step *s = &p->step.v[i];
        xg_putf(out, "step %s segment=%u groups=[%u,%u]\n", s->accel ? "accel" : "host", s->segment,
                s->first, s->last);
    }
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t c = 0; c < p->machine->cores; c++) {
            const xg_core_plan *core = &p->segment.v[s].core[c];
            xg_putf(out, "core %u segment=%u\n", c, s);
            for (uint32_t i = 0; i < core->buffer.n; i++)
                print_buffer(p, i, &core->buffer.v[i], out);
            for (uint32_t i = 0; i < core->task.n; i++) print_task(p, &core->task.v[i], out);
        }
}

/* ---- parsing
 * ---------------------------------------------------------------------------------------------------
 */

typedef struct parser {
    xg_reader r;
    xg_plan *p;
    xg_map nodes, tensors;
    xg_core_plan *core;
} parser;

static xg_status get_list(parser *ps, const char *key, uint32_t n, uint32_t *out) {
    const xg_item *it = xg_line_key(&ps->r.line, key);
    if (!it || it->natom != n)
        return xg_reader_error(&ps->r, it, "%s=[...] with %u numbers is missing", key, n);
    for (uint32_t i = 0; i < n; i++) {
        int64_t v = XG_NONE;
        xg_status st = XG_OK;
        if (strcmp(it->atom[i], "-")) st = xg_item_int(&ps->r, it, i, 0, INT32_MAX, &v);
        if (st != XG_OK) return st;
        out[i] = (uint32_t)v;
    }
    return XG_OK;
}

static xg_status get_u32(parser *ps, const char *key, uint32_t *out) {
    int64_t v;
    xg_status st = xg_line_int(&ps->r, key, 0, UINT32_MAX, &v);
    if (st == XG_OK) *out = (uint32_t)v;
    return st;
}

/* Several required keys at once. */
static xg_status get_all(parser *ps, const char *const *key, uint32_t *const *to, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        xg_status st = get_u32(ps, key[i], to[i]);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

static xg_status get_name(parser *ps, const char *key, const xg_map *names, bool required,
                          uint32_t *out) {
    const xg_item *it = xg_line_key(&ps->r.line, key);
    *out = XG_NONE;
    if (!it && !required) return XG_OK;
    if (!it || it->natom != 1) return xg_reader_error(&ps->r, it, "%s= is missing", key);
    *out = xg_map_get(names, it->atom[0]);
    return *out == XG_NONE
               ? xg_reader_error(&ps->r, it, "the graph has no %s '%s'", key, it->atom[0])
               : XG_OK;
}

static xg_status get_slice(parser *ps, xg_slice *s) {
    uint32_t v[7] = {0};
    xg_status st = get_list(ps, "slice", 7, v);
    if (st == XG_OK) *s = (xg_slice){v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
    if (st == XG_OK &&
        (s->h0 > s->h1 || s->w0 > s->w1 || s->c0 > s->c1 || s->h1 > 65535 || s->w1 > 65535))
        st = xg_reader_error(&ps->r, NULL, "the slice is empty or too large");
    return st;
}

static xg_status parse_word(parser *ps, const xg_item *it, const char *const *names, uint32_t n,
                            uint8_t *out) {
    for (uint32_t i = 0; it && i < n; i++)
        if (xg_item_is(it, names[i])) {
            *out = (uint8_t)i;
            return XG_OK;
        }
    return xg_reader_error(&ps->r, it, "an unknown word stands here");
}

static xg_status parse_place(parser *ps) {
    uint32_t t, region = 0, in, apart = 0;
    xg_place pl = {0};
    xg_status st = get_name(ps, "tensor", &ps->tensors, true, &t);
    const char *const keys[] = {"region", "addr", "row", "pix", "image"};
    uint32_t *const to[] = {&region, &pl.addr, &pl.row_step, &pl.pix_step, &pl.image_step};
    if (st == XG_OK) st = get_all(ps, keys, to, XG_COUNT(keys));
    if (st == XG_OK) st = get_name(ps, "in", &ps->tensors, false, &in);
    if (st == XG_OK && xg_line_key(&ps->r.line, "apart")) st = get_u32(ps, "apart", &apart);
    if (st != XG_OK) return st;
    uint32_t made = xg_tensorp(ps->p->graph, t)->producer;
    if (apart && (made == XG_NONE || xg_nodep(ps->p->graph, made)->op != XG_OP_Concat))
        return xg_reader_error(&ps->r, NULL, "no concat makes the tensor that lies apart");
    if (region >= XG_REGIONS)
        return xg_reader_error(&ps->r, NULL, "region %u does not exist", region);
    pl.region = (uint8_t)region;
    ps->p->place[t] =
        (xg_place_row){.placed = true, .apart = apart, .place = pl, .root = in == XG_NONE ? t : in};
    return XG_OK;
}

static xg_status parse_piece(parser *ps) {
    xg_piece c = {0};
    uint32_t ch[2] = {0}, in[2] = {0};
    xg_status st = parse_word(ps, xg_line_key(&ps->r.line, "kind"), piece_names,
                              XG_COUNT(piece_names), &c.kind);
    bool tensor = c.kind == XG_PIECE_TENSOR;
    const char *const keys[] = {"addr", "bytes", "fold"};
    uint32_t *const to[] = {&c.addr, &c.bytes, &c.fold};
    if (st == XG_OK)
        st = get_name(ps, tensor ? "tensor" : "node", tensor ? &ps->tensors : &ps->nodes, true,
                      &c.node);
    if (st == XG_OK) st = get_list(ps, "c", 2, ch);
    if (st == XG_OK) st = get_list(ps, "i", 2, in);
    if (st == XG_OK) st = get_all(ps, keys, to, XG_COUNT(keys));
    if (st != XG_OK) return st;
    c.c0 = ch[0], c.c1 = ch[1], c.i0 = in[0], c.i1 = in[1];
    const char *why = xg_piece_refuses(ps->p, &c);
    if (why) return xg_reader_error(&ps->r, NULL, "the piece does not match its node: %s", why);
    xg_push(ps->p->arena, &ps->p->piece, c);
    return XG_OK;
}

static xg_status parse_step(parser *ps) {
    static const char *const sides[] = {"host", "accel"};
    uint8_t side = 0;
    xg_plan_step s = {0};
    uint32_t groups[2] = {0};
    xg_status st = parse_word(ps, xg_line_pos(&ps->r.line, 1), sides, 2, &side);
    if (st == XG_OK) st = get_u32(ps, "segment", &s.segment);
    if (st == XG_OK) st = get_list(ps, "groups", 2, groups);
    if (st != XG_OK) return st;
    s.accel = side;
    s.first = groups[0], s.last = groups[1];
    if (s.first >= s.last || s.last > ps->p->sel->group.n)
        return xg_reader_error(&ps->r, NULL, "groups [%u,%u) do not exist", s.first, s.last);
    for (uint32_t g = s.first; g < s.last; g++)
        if ((ps->p->sel->group.v[g].where == XG_ON_ACCEL) != s.accel)
            return xg_reader_error(&ps->r, NULL, "group %u is on the other side", g);
    if (s.accel && s.segment != ps->p->segment.n)
        return xg_reader_error(&ps->r, NULL, "segments are numbered from 0 on");
    if (s.accel) {
        xg_seg_plan seg = {xg_newn(ps->p->arena, xg_core_plan, ps->p->machine->cores)};
        xg_push(ps->p->arena, &ps->p->segment, seg);
    }
    xg_push(ps->p->arena, &ps->p->step, s);
    return XG_OK;
}

static xg_status parse_core(parser *ps) {
    uint32_t seg = 0;
    int64_t core;
    const xg_item *it = xg_line_pos(&ps->r.line, 1);
    if (!it) return xg_reader_error(&ps->r, NULL, "expected: core NUMBER segment=NUMBER");
    xg_status st = xg_item_int(&ps->r, it, 0, 0, ps->p->machine->cores - 1, &core);
    if (st == XG_OK) st = get_u32(ps, "segment", &seg);
    if (st != XG_OK) return st;
    if (seg >= ps->p->segment.n)
        return xg_reader_error(&ps->r, NULL, "segment %u does not exist", seg);
    ps->core = &ps->p->segment.v[seg].core[core];
    return XG_OK;
}

static xg_status parse_buffer(parser *ps) {
    xg_buffer b = {.parent = XG_NONE};
    uint32_t mem = 0, live[2] = {0}, stage[2] = {0};
    const char *const keys[] = {"mem", "size", "addr", "ahead", "fold", "ring", "il", "row", "pix"};
    uint32_t *const to[] = {&mem,    &b.size, &b.addr, &b.ahead, &b.fold,
                            &b.ring, &b.il,   &b.row,  &b.pix};
    xg_status st = get_all(ps, keys, to, XG_COUNT(keys));
    if (st == XG_OK) st = get_list(ps, "live", 2, live);
    if (st == XG_OK) st = get_list(ps, "stage", 2, stage);
    if (st == XG_OK) st = get_name(ps, "tensor", &ps->tensors, false, &b.tensor);
    if (st == XG_OK) st = get_slice(ps, &b.s);
    uint32_t flat = 0;
    if (st == XG_OK && xg_line_key(&ps->r.line, "flat")) st = get_u32(ps, "flat", &flat);
    if (st != XG_OK) return st;
    b.flat = flat != 0;
    b.mem = (uint8_t)mem;
    b.first = live[0], b.last = live[1], b.soft_first = stage[0], b.soft_last = stage[1];
    xg_push(ps->p->arena, &ps->core->buffer, b);
    return XG_OK;
}

static xg_status parse_task(parser *ps) {
    xg_task t = {0};
    uint32_t used[6] = {0}, chunk[2] = {0}, acc[2] = {0};
    const xg_item *piece = xg_line_key(&ps->r.line, "piece");
    const char *const keys[] = {"stage", "group", "tile"};
    uint32_t *const to[] = {&t.stage, &t.group, &t.tile};
    xg_status st = parse_word(ps, xg_line_pos(&ps->r.line, 1), task_names, XG_TASK_COUNT, &t.kind);
    if (st == XG_OK) st = get_all(ps, keys, to, XG_COUNT(keys));
    if (st == XG_OK) st = get_name(ps, "node", &ps->nodes, false, &t.node);
    if (st == XG_OK) st = get_name(ps, "tensor", &ps->tensors, false, &t.tensor);
    if (st == XG_OK) st = get_slice(ps, &t.s);
    if (st == XG_OK) st = get_list(ps, "buffers", 6, used);
    if (st == XG_OK) st = get_list(ps, "chunk", 2, chunk);
    if (st == XG_OK) st = get_list(ps, "acc", 2, acc);
    t.piece = XG_NONE;
    if (st == XG_OK && piece && !xg_item_is(piece, "-")) st = get_u32(ps, "piece", &t.piece);
    if (st != XG_OK) return st;
    t.in = used[0], t.in2 = used[1], t.w = used[2], t.p = used[3], t.out = used[4],
    t.psum = used[5];
    t.i0 = chunk[0], t.i1 = chunk[1], t.acc_in = acc[0], t.acc_out = acc[1];
    const char *why = xg_task_refuses(ps->p, ps->core, &t);
    if (why) return xg_reader_error(&ps->r, NULL, "the task cannot be carried out: %s", why);
    xg_push(ps->p->arena, &ps->core->task, t);
    return XG_OK;
}

static xg_status parse_line(parser *ps) {
    const xg_item *word = xg_line_pos(&ps->r.line, 0);
    if (xg_item_is(word, "place")) return parse_place(ps);
    if (xg_item_is(word, "piece")) return parse_piece(ps);
    if (xg_item_is(word, "step")) return parse_step(ps);
    if (xg_item_is(word, "core")) return parse_core(ps);
    if (xg_item_is(word, "buffer") && ps->core) return parse_buffer(ps);
    if (xg_item_is(word, "task") && ps->core) return parse_task(ps);
    return xg_reader_error(&ps->r, word, "a line of this kind is not expected here");
}

static xg_status parse_head(parser *ps) {
    const char *machine, *digest;
    static const char *const keys[XG_REGIONS] = {"const", "work", "in", "out"};
    xg_status st = xg_line_str(&ps->r, "machine", &machine);
    if (st == XG_OK) st = xg_line_str(&ps->r, "digest", &digest);
    for (int i = 0; i < XG_REGIONS && st == XG_OK; i++) {
        int64_t v;
        st = xg_line_int(&ps->r, keys[i], 0, INT32_MAX, &v);
        if (st == XG_OK) ps->p->region_bytes[i] = (uint64_t)v;
    }
    if (st == XG_OK && strcmp(digest, ps->p->machine->digest))
        st = xg_reader_error(
            &ps->r, NULL,
            "the plan was made for machine %s (digest %.12s), not for %s (digest %.12s)", machine,
            digest, ps->p->machine->name, ps->p->machine->digest);
    return st;
}

/* Start of the line that begins with "plan ", or NULL. */
static const char *find_plan(const char *text, size_t n) {
    for (const char *p = text, *end = text + n; p && end - p > 5;) {
        if (!memcmp(p, "plan ", 5)) return p;
        p = memchr(p, '\n', (size_t)(end - p));
        if (p) p++;
    }
    return NULL;
}

xg_status xg_plan_parse(xg_arena *a, const xg_graph *g, const xg_machine *m, const char *path,
                        const char *text, size_t n, xg_plan **out) {
    xg_plan *p = xg_new(a, xg_plan);
    xg_selection *sel = xg_new(a, xg_selection);
    const char *body = find_plan(text, n);
    if (!body) return xg_error(xg_arena_ctx(a), XG_INPUT, path, "no line begins with 'plan'");
    xg_status st = xg_selection_parse(a, g, path, text, (size_t)(body - text), sel);
    if (st == XG_OK) st = xg_selection_check(a, sel, m);
    if (st != XG_OK) return st;
    *p = (xg_plan){.arena = a,
                   .graph = g,
                   .flat = xg_flat_graph(a, g, m),
                   .machine = m,
                   .sel = sel,
                   .lack = xg_new(a, xg_lack)};
    p->place = xg_newn(a, xg_place_row, g->tensor.n + 1);
    parser ps = {.p = p, .nodes = {.arena = a}, .tensors = {.arena = a}};
    for (uint32_t i = 0; i < g->node.n; i++) xg_map_set(&ps.nodes, xg_nodep(g, i)->name, i);
    for (uint32_t i = 0; i < g->tensor.n; i++)
        xg_map_set(&ps.tensors, xg_tensorp(g, i)->name, i), p->place[i].root = i;
    xg_reader_init(&ps.r, a, path, body, n - (size_t)(body - text));
    for (uint32_t k = 0; k < (uint32_t)(body - text); k++) ps.r.number += text[k] == '\n';
    bool more = true;
    st = xg_reader_next(&ps.r, &more);
    if (st == XG_OK) st = parse_head(&ps);
    while (st == XG_OK) {
        st = xg_reader_next(&ps.r, &more);
        if (st != XG_OK || !more) break;
        st = parse_line(&ps);
    }
    *out = p;
    return st;
}
