#include "driver/api.h"

#include "base/json.h"

#include <inttypes.h>

enum { VALUES_SHOWN = 10 };

static double value(const xg_array *x, uint64_t i) {
    switch (x->dtype) {
    case XG_F32:
        return (double)((const float *)x->data)[i];
    case XG_I8:
        return ((const int8_t *)x->data)[i];
    case XG_U8:
    case XG_BOOL:
        return ((const uint8_t *)x->data)[i];
    case XG_I16:
        return ((const int16_t *)x->data)[i];
    case XG_I32:
        return ((const int32_t *)x->data)[i];
    case XG_I64:
        return (double)((const int64_t *)x->data)[i];
    case XG_DTYPE_COUNT:
        break;
    }
    return 0;
}

static uint64_t elems(const xg_array *x) {
    uint64_t n = 1;
    for (int d = 0; d < x->rank; d++) n *= (uint64_t)x->dim[d];
    return n;
}

/* Index of the largest of n values from `first` on; the lowest index wins a tie. */
static uint64_t argmax(const xg_array *x, uint64_t first, uint64_t n) {
    uint64_t best = 0;
    for (uint64_t i = 1; i < n; i++)
        if (value(x, first + i) > value(x, first + best)) best = i;
    return best;
}

static void text_output(const run_result *r, const xg_array *x, xg_buf *out) {
    uint64_t n = elems(x), each = r->images ? n / r->images : n;
    xg_putf(out, "%s  %s [", x->name, xg_dtype_name(x->dtype));
    for (int d = 0; d < x->rank; d++) xg_putf(out, "%s%" PRId64, d ? "," : "", x->dim[d]);
    xg_puts(out, "]");
    for (uint64_t i = 0; i < n && i < VALUES_SHOWN; i++)
        xg_putf(out, "%s%.6g", i ? " " : "  ", value(x, i));
    if (n > VALUES_SHOWN) xg_puts(out, " ...");
    xg_puts(out, "\n");
    bool vector = true; /* one long axis besides the images: scores of classes */
    for (int d = 1; d < x->rank; d++) vector &= x->dim[d] == 1 || (uint64_t)x->dim[d] == each;
    if (each < 2 || r->images == 0 || !vector) return;
    xg_puts(out, "  largest at");
    for (uint64_t i = 0; i < r->images && i < VALUES_SHOWN; i++)
        xg_putf(out, " %" PRIu64, argmax(x, i * each, each));
    xg_puts(out, r->images > VALUES_SHOWN ? " ...\n" : "\n");
}

void xgc_print_run(const run_result *r, bool json, xg_buf *out) {
    if (!json) {
        for (uint32_t i = 0; i < r->output.n; i++) text_output(r, &r->output.v[i], out);
        if (r->timed)
            xg_putf(out, "%" PRIu64 " cycles, %.4g ms at %s's clock, %" PRIu64 " image%s\n",
                    r->cycles, r->ms, r->machine, r->images, r->images == 1 ? "" : "s");
        if (r->interpreted) xg_putf(out, "computed by %s\n", r->machine);
        return;
    }
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "machine", r->machine);
    xg_json_kint(&j, "images", (int64_t)r->images);
    if (r->timed) {
        xg_json_kint(&j, "cycles", (int64_t)r->cycles);
        xg_json_knum(&j, "ms", r->ms);
    }
    xg_json_key(&j, "outputs");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < r->output.n; i++) {
        const xg_array *x = &r->output.v[i];
        xg_json_open(&j, '{');
        xg_json_kstr(&j, "name", x->name);
        xg_json_kstr(&j, "type", xg_dtype_name(x->dtype));
        xg_json_key(&j, "shape");
        xg_json_open(&j, '[');
        for (int d = 0; d < x->rank; d++) xg_json_int(&j, x->dim[d]);
        xg_json_close(&j, ']');
        xg_json_key(&j, "values");
        xg_json_open(&j, '[');
        for (uint64_t k = 0; k < elems(x); k++) xg_json_num(&j, value(x, k));
        xg_json_close(&j, ']');
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}
