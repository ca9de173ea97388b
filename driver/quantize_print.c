#include "driver/api.h"

#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MARKED = 3 };

/* ---- the layers that cost most ---- */

/* What a layer costs: its share of the outputs' noise, or where that was not needed its own noise.
 * Negative: a layer that no option may name, or of which nothing is known. Conversions at the
 * borders are nobody's choice. */
static double cost_of(const xg_quant_row *r, bool by_effect) {
    if (!r->op || !r->known || !strcmp(r->op, "Quantize")) return -1;
    if (by_effect) return isnan(r->effect) ? -1 : r->effect;
    return isfinite(r->own_db) ? pow(10, -r->own_db / 10) : -1;
}

static bool has_effects(const xg_quant_report *q) {
    for (uint32_t i = 0; i < q->row.n; i++)
        if (!isnan(q->row.v[i].effect)) return true;
    return false;
}

/* A layer's place among those that cost most, 1 = worst; 0: not among the first. */
static uint32_t place(const xg_quant_report *q, uint32_t i) {
    bool by_effect = has_effects(q);
    double own = cost_of(&q->row.v[i], by_effect);
    if (own < 0) return 0;
    uint32_t before = 0;
    for (uint32_t k = 0; k < q->row.n; k++) {
        double other = cost_of(&q->row.v[k], by_effect);
        before += other > own || (other == own && k < i);
    }
    return before < MARKED ? before + 1 : 0;
}

static const xg_quant_row *worst(const xg_quant_report *q) {
    for (uint32_t i = 0; i < q->row.n; i++)
        if (place(q, i) == 1) return &q->row.v[i];
    return NULL;
}

/* ---- text ---- */

static void put_db(double db, xg_buf *out) {
    if (isnan(db))
        xg_putf(out, "%8s", "-");
    else if (isinf(db))
        xg_putf(out, "%8s", "exact");
    else
        xg_putf(out, "%8.1f", db);
}

static void put_share(double share, xg_buf *out) {
    if (isnan(share))
        xg_putf(out, " %8s", "-");
    else
        xg_putf(out, " %8.2f", 100 * share);
}

static void text_rows(const quantize_result *r, xg_buf *out) {
    static const char *const mark[] = {"", "  <- costs most", "  <- second", "  <- third"};
    bool effects = has_effects(&r->report);
    xg_putf(out, "%8s %8s%s  %-14s %s\n", "SQNR dB", "alone dB", effects ? " effect %" : "",
            "operator", "node");
    for (uint32_t i = 0; i < r->report.row.n; i++) {
        const xg_quant_row *row = &r->report.row.v[i];
        put_db(row->sqnr_db, out);
        xg_puts(out, " ");
        put_db(row->own_db, out);
        if (effects) put_share(row->effect, out);
        xg_putf(out, "  %-14s %s%s\n", row->op, row->node, mark[place(&r->report, i)]);
    }
}

static double percent(uint64_t part, uint64_t all) {
    return all ? 100.0 * (double)part / (double)all : 0;
}

static void text_head(const quantize_result *r, xg_buf *out) {
    const xg_rqrec *q = &r->record;
    xg_putf(out, "%s for %s: %s weights%s%s\n", r->name, r->target,
            q->per_channel ? "per-channel" : "per-tensor",
            q->act_zero_point ? ", zero points" : ", no zero points",
            q->pow2_scales ? ", powers of two" : "");
    xg_putf(out, "ranges      %s\n", r->report.how);
    if (r->report.equalised || r->report.corrected)
        xg_putf(out, "corrected   %u tensors equalised, %u biases\n", r->report.equalised,
                r->report.corrected);
}

enum { LOW_DB = 20 };

static bool any_output_is_low(const xg_quant_report *q) {
    for (uint32_t i = 0; i < q->output.n; i++)
        if (q->output.v[i].cosine < XG_LOW_COSINE) return true;
    return false;
}

/* What was widened, as options for `xgc compile`. */
static void text_widened(const quantize_result *r, xg_buf *out) {
    xg_putf(out, "%u layer%s held in 16 bits:", r->nwidened, r->nwidened == 1 ? "" : "s");
    for (uint32_t i = 0; i < r->nwidened; i++) xg_putf(out, " --keep-int16 '%s'", r->widened[i]);
    xg_puts(out, "\n");
}

static void text_worst(const quantize_result *r, xg_buf *out) {
    const xg_quant_row *w = worst(&r->report);
    if (r->nwidened) {
        text_widened(r, out);
        return;
    }
    if (!w || (w->own_db >= LOW_DB && !any_output_is_low(&r->report))) return;
    if (isnan(w->effect))
        xg_putf(out, "'%s' loses most by itself (%.1f dB)", w->node, w->own_db);
    else
        xg_putf(out, "'%s' costs the outputs most (%.1f %% of their noise)", w->node,
                100 * w->effect);
    if (r->front.was_float)
        xg_putf(out, "; to hold it in 16 bits: --keep-int16 '%s', in float: --keep-float '%s'",
                w->node, w->node);
    xg_puts(out, "\n");
    if (r->front.was_float && any_output_is_low(&r->report))
        xg_puts(out, "--min-cosine 0.99 finds the layers that need 16 bits\n");
}

static void text(const quantize_result *r, xg_buf *out) {
    text_head(r, out);
    xg_putf(out, "compared    %" PRIu64 " set%s of inputs\n\n", r->compared,
            r->compared == 1 ? "" : "s");
    text_rows(r, out);
    xg_puts(out, "\n");
    for (uint32_t i = 0; i < r->report.output.n; i++) {
        const xg_quant_output *o = &r->report.output.v[i];
        xg_putf(out, "output '%s': cosine %.6f, SQNR ", o->name, o->cosine);
        xg_putf(out, isinf(o->sqnr_db) ? "exact\n" : "%.1f dB\n", o->sqnr_db);
    }
    text_worst(r, out);
    if (r->images)
        xg_putf(out, "accuracy    %s %.2f %%, quantised %.2f %% of %" PRIu64 " images\n",
                r->front.was_float ? "float" : "as given", percent(r->right_before, r->images),
                percent(r->right_after, r->images), r->images);
}

/* ---- JSON ---- */

static void json_rows(const quantize_result *r, xg_json *j) {
    xg_json_key(j, "layers");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < r->report.row.n; i++) {
        const xg_quant_row *row = &r->report.row.v[i];
        xg_json_open(j, '{');
        xg_json_kstr(j, "node", row->node);
        xg_json_kstr(j, "operator", row->op);
        xg_json_knum(j, "sqnr_db", row->sqnr_db);
        xg_json_knum(j, "alone_db", row->own_db);
        xg_json_knum(j, "effect", row->effect);
        xg_json_close(j, '}');
    }
    xg_json_close(j, ']');
    xg_json_key(j, "outputs");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < r->report.output.n; i++) {
        xg_json_open(j, '{');
        xg_json_kstr(j, "name", r->report.output.v[i].name);
        xg_json_knum(j, "cosine", r->report.output.v[i].cosine);
        xg_json_knum(j, "sqnr_db", r->report.output.v[i].sqnr_db);
        xg_json_close(j, '}');
    }
    xg_json_close(j, ']');
}

static void json_widened(const quantize_result *r, xg_json *j) {
    if (!r->nwidened) return;
    xg_json_key(j, "widened");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < r->nwidened; i++) xg_json_str(j, r->widened[i]);
    xg_json_close(j, ']');
}

static void json(const quantize_result *r, xg_buf *out) {
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "model", r->name);
    xg_json_kstr(&j, "target", r->target);
    xg_json_kstr(&j, "ranges", r->report.how);
    xg_json_kbool(&j, "was_float", r->front.was_float);
    xg_json_kint(&j, "equalised_tensors", r->report.equalised);
    xg_json_kint(&j, "corrected_biases", r->report.corrected);
    xg_json_kint(&j, "sets_compared", (int64_t)r->compared);
    json_rows(r, &j);
    const xg_quant_row *w = worst(&r->report);
    xg_json_kbool(&j, "low", any_output_is_low(&r->report) || (w && w->own_db < LOW_DB));
    if (w) xg_json_kstr(&j, "loses_most", w->node);
    json_widened(r, &j);
    if (r->images) {
        xg_json_kint(&j, "images", (int64_t)r->images);
        xg_json_kint(&j, "right_before", (int64_t)r->right_before);
        xg_json_kint(&j, "right_after", (int64_t)r->right_after);
    }
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}

/* ---- all forms ---- */

xg_status xgc_print_quantize(xg_ctx *c, const quantize_result *r, const char *form, xg_buf *out) {
    bool onnx = !strcmp(form, "onnx"), table = !strcmp(form, "table");
    if ((onnx || table) && !r->front.was_float)
        return xg_error(
            c, XG_UNSUPPORTED, r->name,
            "the model has no layer with float weights to quantise: %s can not be written",
            onnx ? "QDQ ONNX" : "a table of ranges");
    if (onnx) return xg_export_qdq(c, &r->front.map, r->activations, out);
    if (!strcmp(form, "xg")) return xg_graph_pack(c, r->front.graph, out);
    if (table)
        xg_calibration_print(&r->front.ranges, out);
    else if (!strcmp(form, "xg-text"))
        xg_graph_print(r->front.graph, false, out);
    else if (!strcmp(form, "text"))
        text(r, out);
    else if (!strcmp(form, "json"))
        json(r, out);
    else
        return xgc_bad_form(c, form, "text, json, onnx, xg, xg-text, table");
    return XG_OK;
}
