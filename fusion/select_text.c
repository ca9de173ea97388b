/* The .sel form: one line a group, one a tensor that stays; described in fusion/README.md. */
#include "fusion/select.h"

#include "base/text.h"

#include <string.h>

static const char *const order_names[] = {"map", "weight"};
static const char *const split_names[] = {"image", "rows", "channels", "none"};

static void print_nodes(const xg_selection *s, const xg_group *g, xg_buf *out) {
    xg_puts(out, " nodes=[");
    for (uint32_t k = 0; k < g->nnode; k++) {
        if (k) xg_puts(out, ",");
        xg_put_quoted(out, xg_nodep(s->graph, g->node[k])->name, false);
    }
    xg_puts(out, "]");
}

static void print_group(const xg_selection *s, uint32_t i, xg_buf *out) {
    const xg_group *g = &s->group.v[i];
    const xg_strategy *t = &g->strategy;
    xg_putf(out, "group %u %s %s=", i, g->where == XG_ON_ACCEL ? "accel" : "host",
            g->where == XG_ON_ACCEL ? "pattern" : "reason");
    xg_put_quoted(out, g->where == XG_ON_ACCEL ? g->pattern : g->host_reason, false);
    print_nodes(s, g, out);
    if (g->where == XG_ON_ACCEL)
        xg_putf(out, " tile=[%u,%u,%u] chunk=%u order=%s split=%s fold=%d resident=%d cost=%llu",
                t->tile_h, t->tile_w, t->tile_oc, t->tile_ic, order_names[t->order],
                split_names[t->split], t->fold, t->weights_resident,
                (unsigned long long)g->cost_cycles);
    if (g->where == XG_ON_ACCEL && t->keep) xg_puts(out, " keep=1");
    if (g->where == XG_ON_ACCEL && t->batched) xg_puts(out, " batched=1");
    if (g->where == XG_ON_ACCEL && t->flat) xg_puts(out, " flat=1");
    xg_puts(out, "\n");
}

void xg_selection_print(const xg_selection *s, xg_buf *out) {
    xg_puts(out, "selection ");
    xg_put_quoted(out, s->graph->name ? s->graph->name : "", false);
    xg_putf(out, " strategy=%s note=", s->strategy);
    xg_put_quoted(out, s->note ? s->note : "", false);
    xg_puts(out, "\n");
    for (uint32_t i = 0; i < s->group.n; i++) print_group(s, i, out);
    for (uint32_t t = 0; s->on_chip && t < s->graph->tensor.n; t++) {
        if (!s->on_chip[t]) continue;
        xg_puts(out, "stay ");
        xg_put_quoted(out, xg_tensorp(s->graph, t)->name, false);
        xg_puts(out, "\n");
    }
}

/* Every key on the line is one of those. */
static xg_status check_keys(xg_reader *r, const char *const *known, uint32_t n) {
    for (uint32_t i = 0; i < r->line.nitem; i++) {
        const xg_item *it = &r->line.item[i];
        uint32_t k = 0;
        while (it->key && k < n && strcmp(known[k], it->key)) k++;
        if (it->key && k == n) return xg_reader_error(r, it, "unknown field '%s='", it->key);
    }
    return XG_OK;
}

typedef struct parser {
    xg_reader *r;
    xg_arena *a;
    const xg_graph *g;
    xg_selection *out;
    xg_map nodes, tensors;
    bool *seen; /* [nodes] */
} parser;

static xg_status parse_name(parser *p, const char *key, const char *const *names, uint32_t n,
                            uint32_t *out) {
    const xg_item *it = xg_line_key(&p->r->line, key);
    for (uint32_t i = 0; it && i < n; i++)
        if (xg_item_is(it, names[i])) {
            *out = i;
            return XG_OK;
        }
    return xg_reader_error(p->r, it, "%s= is missing or none of the known words", key);
}

static xg_status parse_nodes(parser *p, xg_group *g) {
    const xg_item *it = xg_line_key(&p->r->line, "nodes");
    if (!it || !it->natom) return xg_reader_error(p->r, it, "nodes=[...] is missing");
    uint32_t *v = xg_newn(p->a, uint32_t, it->natom);
    for (uint32_t k = 0; k < it->natom; k++) {
        v[k] = xg_map_get(&p->nodes, it->atom[k]);
        if (v[k] == XG_NONE)
            return xg_reader_error(p->r, it, "the graph has no node '%s'", it->atom[k]);
        if (p->seen[v[k]])
            return xg_reader_error(p->r, it, "node '%s' is in two groups", it->atom[k]);
        p->seen[v[k]] = true;
    }
    g->nnode = it->natom;
    g->node = v;
    xg_group_find_results(p->a, p->g, g);
    return XG_OK;
}

static xg_status parse_strategy(parser *p, xg_group *g) {
    xg_strategy *t = &g->strategy;
    const xg_item *tile = xg_line_key(&p->r->line, "tile");
    int64_t v[3], chunk, fold = 0, resident = 0, keep = 0, batched = 0, flat = 0, cost;
    uint32_t order = 0, split = 0;
    if (!tile || tile->natom != 3)
        return xg_reader_error(p->r, tile, "tile=[rows,columns,channels] is missing");
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < 3 && st == XG_OK; i++)
        st = xg_item_int(p->r, tile, i, 0, 65535, &v[i]);
    if (st == XG_OK) st = xg_line_int(p->r, "chunk", 0, 65535, &chunk);
    if (st == XG_OK) st = parse_name(p, "order", order_names, XG_COUNT(order_names), &order);
    if (st == XG_OK) st = parse_name(p, "split", split_names, XG_COUNT(split_names), &split);
    if (st == XG_OK) st = xg_line_int(p->r, "fold", 0, 1, &fold);
    if (st == XG_OK) st = xg_line_int(p->r, "resident", 0, 1, &resident);
    if (st == XG_OK) st = xg_line_int(p->r, "cost", 0, INT64_MAX, &cost);
    if (st == XG_OK && xg_line_key(&p->r->line, "keep"))
        st = xg_line_int(p->r, "keep", 0, 1, &keep);
    if (st == XG_OK && xg_line_key(&p->r->line, "batched"))
        st = xg_line_int(p->r, "batched", 0, 1, &batched);
    if (st == XG_OK && xg_line_key(&p->r->line, "flat"))
        st = xg_line_int(p->r, "flat", 0, 1, &flat);
    if (st != XG_OK) return st;
    *t = (xg_strategy){.tile_h = (uint32_t)v[0],
                       .tile_w = (uint32_t)v[1],
                       .tile_oc = (uint32_t)v[2],
                       .tile_ic = (uint32_t)chunk,
                       .order = (xg_order)order,
                       .split = (xg_split)split,
                       .fold = fold != 0,
                       .weights_resident = resident != 0,
                       .keep = keep != 0,
                       .batched = batched != 0,
                       .flat = flat != 0};
    g->cost_cycles = (uint64_t)cost;
    return XG_OK;
}

static xg_status parse_group(parser *p) {
    const xg_item *number = xg_line_pos(&p->r->line, 1), *where = xg_line_pos(&p->r->line, 2);
    int64_t i;
    xg_group g = {0};
    if (!number || !where)
        return xg_reader_error(p->r, NULL, "expected: group NUMBER accel|host ...");
    static const char *const keys[] = {"pattern", "reason",  "nodes", "tile",     "chunk",
                                       "order",   "split",   "fold",  "resident", "cost",
                                       "keep",    "batched", "flat"};
    xg_status st = check_keys(p->r, keys, XG_COUNT(keys));
    if (st == XG_OK) st = xg_item_int(p->r, number, 0, 0, UINT32_MAX, &i);
    if (st != XG_OK) return st;
    g.line = p->r->line.number;
    if (i != p->out->group.n)
        return xg_reader_error(p->r, number, "group %lld stands where group %u is due",
                               (long long)i, p->out->group.n);
    if (!xg_item_is(where, "accel") && !xg_item_is(where, "host"))
        return xg_reader_error(p->r, where, "a group is on accel or on host");
    g.where = xg_item_is(where, "accel") ? XG_ON_ACCEL : XG_ON_HOST;
    st = parse_nodes(p, &g);
    if (st == XG_OK)
        st = xg_line_str(p->r, g.where == XG_ON_ACCEL ? "pattern" : "reason",
                         g.where == XG_ON_ACCEL ? &g.pattern : &g.host_reason);
    if (st == XG_OK && g.where == XG_ON_ACCEL) st = parse_strategy(p, &g);
    if (st == XG_OK) xg_push(p->a, &p->out->group, g);
    return st;
}

static xg_status parse_stay(parser *p) {
    const xg_item *it = xg_line_pos(&p->r->line, 1);
    xg_status st = check_keys(p->r, NULL, 0);
    if (st != XG_OK) return st;
    uint32_t t = it && it->natom == 1 ? xg_map_get(&p->tensors, it->atom[0]) : XG_NONE;
    if (t == XG_NONE) return xg_reader_error(p->r, it, "the graph has no such tensor");
    p->out->on_chip[t] = true;
    return XG_OK;
}

/* Every node once, and no group before one that it reads from. */
static xg_status check_order(parser *p, const char *path) {
    xg_ctx *c = xg_arena_ctx(p->a);
    bool *ran = xg_newn(p->a, bool, p->g->node.n + 1);
    for (uint32_t i = 0; i < p->g->node.n; i++)
        if (!p->seen[i])
            return xg_error(c, XG_INPUT, path, "node '%s' is in no group", xg_nodep(p->g, i)->name);
    for (uint32_t i = 0; i < p->out->group.n; i++) {
        const xg_group *g = &p->out->group.v[i];
        for (uint32_t k = 0; k < g->nnode; k++) {
            const xg_node *n = xg_nodep(p->g, g->node[k]);
            for (uint32_t j = 0; j < n->nin; j++) {
                const xg_tensor *t = xg_in(p->g, n, j);
                if (t && t->producer != XG_NONE && !ran[t->producer])
                    return xg_error(c, XG_INPUT, xg_strf(p->a, "%s:%u", path, g->line),
                                    "group %u runs before node '%s' that it reads from", i,
                                    xg_nodep(p->g, t->producer)->name);
            }
            ran[g->node[k]] = true;
        }
    }
    return XG_OK;
}

xg_status xg_selection_parse(xg_arena *a, const xg_graph *g, const char *path, const char *text,
                             size_t n, xg_selection *out) {
    xg_reader r;
    parser p = {.r = &r,
                .a = a,
                .g = g,
                .out = out,
                .nodes = {.arena = a},
                .tensors = {.arena = a},
                .seen = xg_newn(a, bool, g->node.n + 1)};
    *out = (xg_selection){.graph = g, .strategy = "file", .note = "", .path = path};
    for (uint32_t i = 0; i < g->node.n; i++) xg_map_set(&p.nodes, xg_nodep(g, i)->name, i);
    for (uint32_t i = 0; i < g->tensor.n; i++) xg_map_set(&p.tensors, xg_tensorp(g, i)->name, i);
    out->on_chip = xg_newn(a, bool, g->tensor.n + 1);
    xg_reader_init(&r, a, path, text, n);
    for (bool more = true, head = false; more;) {
        xg_status st = xg_reader_next(&r, &more);
        if (st != XG_OK || !more) {
            if (st != XG_OK) return st;
            break;
        }
        if (!head) {
            if (!xg_item_is(xg_line_pos(&r.line, 0), "selection"))
                return xg_reader_error(&r, NULL, "expected: selection \"graph\" ...");
            static const char *const keys[] = {"strategy", "note"};
            st = check_keys(&r, keys, XG_COUNT(keys));
            if (st == XG_OK) st = xg_line_str(&r, "strategy", &out->strategy);
            if (st == XG_OK) st = xg_line_str(&r, "note", &out->note);
            head = true;
        } else if (xg_item_is(xg_line_pos(&r.line, 0), "group")) {
            st = parse_group(&p);
        } else if (xg_item_is(xg_line_pos(&r.line, 0), "stay")) {
            st = parse_stay(&p);
        } else {
            st = xg_reader_error(&r, xg_line_pos(&r.line, 0),
                                 "expected a group or a tensor that stays");
        }
        if (st != XG_OK) return st;
    }
    return check_order(&p, path);
}
