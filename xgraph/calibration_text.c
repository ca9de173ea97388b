/* The calibration table's text form, one line a tensor: range "tensor" min=-0x1p+0 max=0x1.8p+1,
 * with least= and most= behind when values were seen beyond; before them, when the graph was
 * equalised: equalised tensors=12 */
#include "xgraph/import.h"

#include "base/text.h"

#include <math.h>

void xg_calibration_print(const xg_calibration *k, xg_buf *out) {
    xg_puts(out, "# ranges of float tensors over the calibration inputs\n");
    if (k->equalised) xg_putf(out, "equalised tensors=%u\n", k->equalised);
    for (uint32_t i = 0; i < k->range.n; i++) {
        const xg_range *r = &k->range.v[i];
        xg_puts(out, "range ");
        xg_put_quoted(out, r->tensor, false);
        xg_puts(out, " min=");
        xg_put_f32(out, r->min);
        xg_puts(out, " max=");
        xg_put_f32(out, r->max);
        if (r->least != r->min || r->most != r->max) {
            xg_puts(out, " least=");
            xg_put_f32(out, r->least);
            xg_puts(out, " most=");
            xg_put_f32(out, r->most);
        }
        xg_puts(out, "\n");
    }
}

static xg_status read_bound(xg_reader *r, const char *key, float *out) {
    const xg_item *it = xg_line_key(&r->line, key);
    if (!it) return xg_reader_error(r, NULL, "%s= is missing", key);
    return xg_item_f32(r, it, 0, out);
}

static xg_status read_equalised(xg_reader *r, xg_calibration *out) {
    int64_t n;
    if (r->line.nitem != 2)
        return xg_reader_error(r, NULL, "equalised has tensors=, and nothing else");
    xg_status st = xg_line_int(r, "tensors", 0, INT32_MAX, &n);
    if (st == XG_OK) out->equalised = (uint32_t)n;
    return st;
}

static xg_status check_order(xg_reader *r, const xg_item *name, float min, float max) {
    if (isnan(min) || isnan(max) || min <= max) return XG_OK;
    return xg_reader_error(r, name, "minimum %g is above maximum %g", (double)min, (double)max);
}

/* A table that says nothing of values beyond min and max was edited, or they were never seen. */
static xg_status read_extremes(xg_reader *r, const xg_item *name, xg_range *out) {
    out->least = out->min;
    out->most = out->max;
    if (r->line.nitem == 4) return XG_OK;
    xg_status st = read_bound(r, "least", &out->least);
    if (st == XG_OK) st = read_bound(r, "most", &out->most);
    return st == XG_OK ? check_order(r, name, out->least, out->most) : st;
}

static xg_status read_range(xg_reader *r, xg_arena *a, xg_map *seen, xg_calibration *out) {
    const xg_item *word = xg_line_pos(&r->line, 0), *name = xg_line_pos(&r->line, 1);
    if (xg_item_is(word, "equalised")) return read_equalised(r, out);
    if (!xg_item_is(word, "range"))
        return xg_reader_error(r, word, "expected a line: range \"tensor\" min=.. max=..");
    if (!name || name->natom != 1) return xg_reader_error(r, word, "range needs a tensor's name");
    if (r->line.nitem != 4 && r->line.nitem != 6)
        return xg_reader_error(r, word,
                               "range has a name, min= and max=, perhaps least= and most=, and "
                               "nothing else");
    xg_range range = {.tensor = xg_strdup(a, name->atom[0])};
    xg_status st = read_bound(r, "min", &range.min);
    if (st == XG_OK) st = read_bound(r, "max", &range.max);
    if (st == XG_OK) st = check_order(r, name, range.min, range.max);
    if (st == XG_OK) st = read_extremes(r, name, &range);
    if (st != XG_OK) return st;
    if (xg_map_get(seen, range.tensor) != XG_NONE)
        return xg_reader_error(r, name, "a second range for '%s'", range.tensor);
    xg_map_set(seen, range.tensor, out->range.n);
    xg_push(a, &out->range, range);
    return XG_OK;
}

xg_status xg_calibration_parse(xg_arena *a, const char *path, const char *text, size_t n,
                               xg_calibration *out) {
    xg_reader r;
    xg_reader_init(&r, a, path, text, n);
    xg_map seen = {.arena = a};
    *out = (xg_calibration){0};
    for (bool more = true;;) {
        xg_status st = xg_reader_next(&r, &more);
        if (st != XG_OK || !more) return st;
        st = read_range(&r, a, &seen, out);
        if (st != XG_OK) return st;
    }
}
