#include "validate/report.h"

#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- small formats
 * -------------------------------------------------------------------------------------------- */

/* 1234567 as "1,234,567". */
static const char *grouped(xg_arena *a, uint64_t v) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, v);
    char *s = xg_alloc(a, (size_t)n + (size_t)n / 3 + 1), *p = s;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) *p++ = ',';
        *p++ = digits[i];
    }
    return s;
}

static const char *scaled(xg_arena *a, double v, double base, const char *const *unit) {
    while (v >= base && unit[1]) {
        v /= base;
        unit++;
    }
    return xg_strf(a,
                   v < 10 && v != floor(v)    ? "%.2f %s"
                   : v < 100 && v != floor(v) ? "%.1f %s"
                                              : "%.0f %s",
                   v, *unit);
}

static const char *bytes(xg_arena *a, uint64_t v) {
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", NULL};
    return scaled(a, (double)v, 1024, unit);
}

static const char *si(xg_arena *a, double v, const char *of) {
    const char *unit[] = {of,
                          xg_strf(a, "k%s", of),
                          xg_strf(a, "M%s", of),
                          xg_strf(a, "G%s", of),
                          xg_strf(a, "T%s", of),
                          NULL};
    return scaled(a, v, 1000, unit);
}

static double percent(double part, double whole) {
    return whole > 0 ? 100.0 * part / whole : 0;
}

static double percent_u(uint64_t part, uint64_t whole) {
    return percent((double)part, (double)whole);
}

/* Cycles over the least that the machine allows. */
static double roofline(const xg_report *r) {
    uint64_t least =
        r->compute_bound > r->least_ddr_cycles ? r->compute_bound : r->least_ddr_cycles;
    return least ? (double)r->cycles / (double)least : 0;
}

/* Share of the machine's peak that a layer reaches while it is the one that the others wait for. */
static double layer_peak(const xg_report *r, const xg_layer_row *l) {
    double seconds = (double)l->cycles / ((double)r->machine->clock_khz * 1000.0);
    return seconds > 0 ? 100.0 * 2.0 * (double)l->macs / seconds / (r->peak_tops * 1e12) : 0;
}

static const char *slowest_engine(const xg_report *r, const xg_layer_row *l) {
    uint32_t best = 0;
    for (uint32_t e = 1; e < r->nengine; e++)
        if (l->busy[e] > l->busy[best]) best = e;
    return l->busy[best] ? r->machine->family->engine_names[best] : "-";
}

/* ---- text
 * -------------------------------------------------------------------------------------------------------
 */

static void put_accuracy(const xg_report *r, xg_buf *out) {
    const xg_accuracy *x = &r->accuracy;
    xg_putf(out, "accuracy    simulated binary %.2f %%", percent_u(x->right, x->images));
    if (x->has_reference)
        xg_putf(out, ", interpreter %.2f %%", percent_u(x->reference_right, x->images));
    if (x->has_float) xg_putf(out, ", float model %.2f %%", percent_u(x->float_right, x->images));
    xg_putf(out, "  (%" PRIu64 " images", x->images);
    if (x->has_reference && x->disagree)
        xg_putf(out, "; BINARY AND INTERPRETER DIFFER on %" PRIu64 " batches", x->disagree);
    else if (x->has_reference)
        xg_puts(out, "; binary = interpreter bit for bit on all");
    xg_puts(out, ")\n");
}

static void put_head(const xg_report *r, xg_buf *out) {
    xg_arena *a = out->arena;
    const xg_machine *m = r->machine;
    uint32_t layers = r->layer.n;
    if (layers && r->layer.v[layers - 1].group == XG_NONE) layers--;
    xg_putf(out,
            "model       %s: %u layer group%s on the accelerator, %u operator%s on the host, batch "
            "%" PRIu64 "\n",
            r->model, layers, layers == 1 ? "" : "s", r->host.n, r->host.n == 1 ? "" : "s",
            r->images);
    xg_putf(out, "machine     %s: %u core%s at %.0f MHz, peak %s, arithmetic '%s'\n", m->name,
            m->cores, m->cores == 1 ? "" : "s", (double)m->clock_khz / 1000.0,
            si(a, r->peak_tops * 1e12, "OP/s"), m->profile);
    if (r->quantised[0]) xg_putf(out, "quantised   %s\n", r->quantised);
    const char *scheme = xg_scheme_text(a, &r->scheme);
    if (scheme) xg_putf(out, "scheme      %s\n", scheme);
    xg_putf(out, "strategy    %s%s%s\n", r->strategy, r->solver_note[0] ? "; " : "",
            r->solver_note);
    if (r->has_accuracy) put_accuracy(r, out);
    xg_putf(out, "time        %s cycles = %.4g ms on the accelerator = %s images/s%s\n",
            grouped(a, r->cycles), r->ms,
            r->images_per_s < 100 ? xg_strf(a, "%.2f", r->images_per_s)
                                  : grouped(a, (uint64_t)r->images_per_s),
            r->host.n ? " (host operators not included)" : "");
    if (r->predicted)
        xg_putf(out, "predicted   %s cycles by the cost model, %+.1f %%\n",
                grouped(a, r->predicted),
                percent((double)r->predicted - (double)r->cycles, (double)r->cycles));
    xg_putf(out, "work        %s in %s instructions: %s, %.1f %% of the peak\n",
            si(a, (double)r->macs, "MAC"), grouped(a, r->instructions),
            si(a, r->tops * 1e12, "OP/s"), percent(r->tops, r->peak_tops));
    if (!r->macs_exact)
        xg_puts(out, "            (without the model, unused channels of words count as work)\n");
    xg_putf(out, "bounds      compute alone %s cycles (%.1f %%), DDR alone %s cycles (%.1f %%)\n",
            grouped(a, r->compute_bound), percent_u(r->compute_bound, r->cycles),
            grouped(a, r->ddr_bound), percent_u(r->ddr_bound, r->cycles));
    if (r->array_fit)
        xg_putf(out,
                "array fit   %s cycles (%.1f %%) with rows and channels filled up to the array: at "
                "most %.1f %% of the peak\n",
                grouped(a, r->array_fit), percent_u(r->array_fit, r->cycles),
                percent_u(r->compute_bound, r->array_fit));
    xg_putf(
        out,
        "roofline    %.3f x the least: all work on the full array %s cycles; constants, inputs and "
        "outputs moved once, %s, %s cycles\n",
        roofline(r), grouped(a, r->compute_bound), bytes(a, r->least_ddr_bytes),
        grouped(a, r->least_ddr_cycles));
    xg_putf(out, "DDR         weights %s, maps in %s, maps out %s; bus busy %.1f %% of the time\n",
            bytes(a, r->weights_bytes), bytes(a, r->in_bytes), bytes(a, r->out_bytes),
            percent_u(r->ddr_busy_cycles, r->cycles));
    uint64_t ddr = 0;
    for (int i = 0; i < XG_REGIONS; i++) ddr += r->region_bytes[i];
    xg_putf(out, "memory      DDR %s (constants %s, workspace %s)", bytes(a, ddr),
            bytes(a, r->region_bytes[XG_REG_CONST]), bytes(a, r->region_bytes[XG_REG_WORK]));
    for (uint32_t i = 0; i < r->memory.n; i++)
        xg_putf(out, "%s %s %.0f %%", i ? "," : "; on chip:", r->memory.v[i].name,
                percent_u(r->memory.v[i].used, r->memory.v[i].words));
    xg_puts(out, "\n");
}

/* Shares of the time in percent; a dot for none. */
static void put_share(const xg_report *r, uint64_t cycles, xg_buf *out) {
    if (cycles)
        xg_putf(out, " %6.1f", percent_u(cycles, r->cycles));
    else
        xg_puts(out, "      .");
}

static void put_engines(const xg_report *r, xg_buf *out) {
    bool cores = r->ncore > 1;
    xg_puts(out, "\nengine, %        busy | waits for:");
    for (uint32_t e = 0; e < r->nengine; e++)
        xg_putf(out, " %6s", r->machine->family->engine_names[e]);
    xg_putf(out, "%s    DDR |   idle   instructions\n", cores ? "  cores" : "");
    for (uint32_t i = 0; i < r->ncore * r->nengine; i++) {
        const xg_engine_time *x = &r->engine[i];
        xg_putf(out, "  core %u %-6s ", i / r->nengine,
                r->machine->family->engine_names[i % r->nengine]);
        put_share(r, x->busy, out);
        xg_puts(out, " |           ");
        for (uint32_t e = 0; e < r->nengine; e++) put_share(r, x->wait[e], out);
        if (cores) put_share(r, x->core_wait, out);
        put_share(r, x->ddr_wait, out);
        xg_puts(out, " |");
        put_share(r, x->idle, out);
        xg_putf(out, " %14s\n", grouped(out->arena, x->instructions));
    }
}

static int by_cycles(const void *pa, const void *pb, void *arg) {
    const xg_report *r = arg;
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    if (r->layer.v[a].cycles != r->layer.v[b].cycles)
        return r->layer.v[a].cycles > r->layer.v[b].cycles ? -1 : 1;
    return a < b ? -1 : a > b;
}

static void put_layers(const xg_report *r, bool verbose, xg_buf *out) {
    xg_arena *a = out->arena;
    uint32_t *order = xg_newn(a, uint32_t, r->layer.n), top = verbose ? r->layer.n : 12;
    for (uint32_t i = 0; i < r->layer.n; i++) order[i] = i;
    if (!verbose) qsort_r(order, r->layer.n, sizeof *order, by_cycles, (void *)r);
    if (top > r->layer.n) top = r->layer.n;
    if (top < r->layer.n)
        xg_putf(out, "\nlayers, the %u slowest of %u", top, r->layer.n);
    else
        xg_puts(out, "\nlayers");
    xg_puts(out, "\n       cycles   share                            MAC  of peak     DDR bytes  "
                 "busiest  layer\n");
    for (uint32_t k = 0; k < top; k++) {
        const xg_layer_row *l = &r->layer.v[order[k]];
        double share = percent_u(l->cycles, r->cycles);
        if (l->group == XG_NONE && share < 0.1) continue;
        char bar[21];
        for (int i = 0; i < 20; i++) bar[i] = i < (int)(share / 5.0 + 0.5) ? '#' : ' ';
        bar[20] = 0;
        xg_putf(out, "  %11s %5.1f %% |%s| %11s %5.1f %% %13s  %-7s  %s%s%s\n",
                grouped(a, l->cycles), share, bar, grouped(a, l->macs), layer_peak(r, l),
                grouped(a, l->weights_bytes + l->in_bytes + l->out_bytes), slowest_engine(r, l),
                l->node, l->op[0] ? "  " : "", l->op);
    }
}

void xg_report_print_text(const xg_report *r, bool verbose, xg_buf *out) {
    put_head(r, out);
    if (r->cycles) {
        put_engines(r, out);
        put_layers(r, verbose, out);
    }
    if (r->host.n) xg_puts(out, "\noperators on the host\n");
    for (uint32_t i = 0; i < r->host.n && (verbose || i < 8); i++)
        xg_putf(out, "  %-12s %s%s%s\n", r->host.v[i].op, r->host.v[i].node,
                r->host.v[i].reason[0] ? ": " : "", r->host.v[i].reason);
    if (!verbose && r->host.n > 8) xg_putf(out, "  and %u more (-v lists them)\n", r->host.n - 8);
    if (verbose && r->sqnr.n) xg_puts(out, "\nsignal to quantisation noise\n");
    for (uint32_t i = 0; verbose && i < r->sqnr.n; i++) {
        if (isnan(r->sqnr.v[i].sqnr_db))
            xg_putf(out, "      -  dB  %s\n", r->sqnr.v[i].node);
        else
            xg_putf(out, "  %6.1f dB  %s\n", r->sqnr.v[i].sqnr_db, r->sqnr.v[i].node);
    }
}

/* ---- JSON and CSV
 * --------------------------------------------------------------------------------------------------
 */

static void json_layers(const xg_report *r, xg_json *j) {
    xg_json_key(j, "layers");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < r->layer.n; i++) {
        const xg_layer_row *l = &r->layer.v[i];
        xg_json_open(j, '{');
        if (l->group != XG_NONE) xg_json_kint(j, "group", l->group);
        xg_json_kstr(j, "node", l->node);
        if (l->onnx) xg_json_kstr(j, "onnx", l->onnx);
        xg_json_kstr(j, "op", l->op);
        xg_json_kint(j, "cycles", (int64_t)l->cycles);
        if (r->predicted) xg_json_kint(j, "predicted_cycles", (int64_t)l->predicted);
        xg_json_kint(j, "macs", (int64_t)l->macs);
        xg_json_knum(j, "peak_percent", layer_peak(r, l));
        xg_json_kint(j, "instructions", (int64_t)l->instructions);
        xg_json_kint(j, "weights_bytes", (int64_t)l->weights_bytes);
        xg_json_kint(j, "maps_in_bytes", (int64_t)l->in_bytes);
        xg_json_kint(j, "maps_out_bytes", (int64_t)l->out_bytes);
        xg_json_key(j, "busy_cycles");
        xg_json_open(j, '{');
        for (uint32_t e = 0; e < r->nengine; e++)
            xg_json_kint(j, r->machine->family->engine_names[e], (int64_t)l->busy[e]);
        xg_json_close(j, '}');
        xg_json_close(j, '}');
    }
    xg_json_close(j, ']');
}

static void json_engines(const xg_report *r, xg_json *j) {
    xg_json_key(j, "engines");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < r->ncore * r->nengine; i++) {
        const xg_engine_time *x = &r->engine[i];
        xg_json_open(j, '{');
        xg_json_kint(j, "core", i / r->nengine);
        xg_json_kstr(j, "engine", r->machine->family->engine_names[i % r->nengine]);
        xg_json_kint(j, "busy_cycles", (int64_t)x->busy);
        xg_json_key(j, "waiting_for_cycles");
        xg_json_open(j, '{');
        for (uint32_t e = 0; e < r->nengine; e++)
            xg_json_kint(j, r->machine->family->engine_names[e], (int64_t)x->wait[e]);
        xg_json_kint(j, "other_cores", (int64_t)x->core_wait);
        xg_json_close(j, '}');
        xg_json_kint(j, "ddr_wait_cycles", (int64_t)x->ddr_wait);
        xg_json_kint(j, "idle_cycles", (int64_t)x->idle);
        xg_json_kint(j, "instructions", (int64_t)x->instructions);
        xg_json_close(j, '}');
    }
    xg_json_close(j, ']');
}

static void json_memory(const xg_report *r, xg_json *j) {
    static const char *const region[XG_REGIONS] = {"constants", "workspace", "inputs", "outputs"};
    xg_json_key(j, "ddr_bytes");
    xg_json_open(j, '{');
    for (int i = 0; i < XG_REGIONS; i++) xg_json_kint(j, region[i], (int64_t)r->region_bytes[i]);
    xg_json_close(j, '}');
    xg_json_key(j, "on_chip");
    xg_json_open(j, '[');
    for (uint32_t i = 0; i < r->memory.n; i++) {
        const xg_report_memory *m = &r->memory.v[i];
        xg_json_open(j, '{');
        xg_json_kstr(j, "memory", m->name);
        xg_json_kint(j, "banks", m->banks);
        xg_json_kint(j, "words_used", (int64_t)m->used);
        xg_json_kint(j, "words", (int64_t)m->words);
        xg_json_kint(j, "word_bytes", (int64_t)m->word_bytes);
        xg_json_close(j, '}');
    }
    xg_json_close(j, ']');
}

static void json_accuracy(const xg_accuracy *x, xg_json *j) {
    xg_json_key(j, "accuracy");
    xg_json_open(j, '{');
    xg_json_kint(j, "images", (int64_t)x->images);
    xg_json_knum(j, "binary_percent", percent_u(x->right, x->images));
    if (x->has_reference) {
        xg_json_knum(j, "interpreter_percent", percent_u(x->reference_right, x->images));
        xg_json_kint(j, "batches_that_differ", (int64_t)x->disagree);
    }
    if (x->has_float) xg_json_knum(j, "float_percent", percent_u(x->float_right, x->images));
    xg_json_close(j, '}');
}

static void json_scheme(const xg_scheme *s, xg_json *j) {
    xg_json_key(j, "requantisation");
    xg_json_open(j, '{');
    xg_json_kstr(j, "stated", s->stated);
    xg_json_kstr(j, "machine", s->machine);
    if (s->measured) {
        xg_json_kstr(j, "inputs", s->calibration ? "calibration" : "random");
        xg_json_kint(j, "sets", (int64_t)s->sets);
        xg_json_kint(j, "layers", s->layers);
        xg_json_kint(j, "layers_that_differ", s->differ);
        if (s->output) xg_json_kstr(j, "output", s->output);
        xg_json_knum(j, "output_steps", s->steps);
        xg_json_knum(j, "output_difference", s->most);
        xg_json_knum(j, "cosine", s->cosine);
        if (s->layer) xg_json_kstr(j, "layer", s->layer);
        xg_json_knum(j, "layer_steps", s->layer_steps);
        xg_json_knum(j, "layer_difference", s->layer_most);
    }
    xg_json_close(j, '}');
}

void xg_report_print_json(const xg_report *r, xg_buf *out) {
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "model", r->model);
    xg_json_kstr(&j, "machine", r->machine->name);
    xg_json_kint(&j, "cores", r->ncore);
    xg_json_knum(&j, "clock_mhz", (double)r->machine->clock_khz / 1000.0);
    xg_json_kstr(&j, "profile", r->machine->profile);
    xg_json_kstr(&j, "strategy", r->strategy);
    xg_json_kstr(&j, "solver_note", r->solver_note);
    xg_json_kstr(&j, "quantised", r->quantised);
    if (r->scheme.stated) json_scheme(&r->scheme, &j);
    if (r->has_accuracy) json_accuracy(&r->accuracy, &j);
    xg_json_kint(&j, "batch", (int64_t)r->images);
    xg_json_kint(&j, "cycles", (int64_t)r->cycles);
    if (r->predicted) xg_json_kint(&j, "predicted_cycles", (int64_t)r->predicted);
    xg_json_knum(&j, "ms", r->ms);
    xg_json_knum(&j, "images_per_s", r->images_per_s);
    xg_json_kint(&j, "macs", (int64_t)r->macs);
    xg_json_kbool(&j, "macs_exact", r->macs_exact);
    xg_json_knum(&j, "tops", r->tops);
    xg_json_knum(&j, "peak_tops", r->peak_tops);
    xg_json_knum(&j, "peak_percent", percent(r->tops, r->peak_tops));
    xg_json_kint(&j, "compute_bound_cycles", (int64_t)r->compute_bound);
    if (r->array_fit) xg_json_kint(&j, "array_fit_cycles", (int64_t)r->array_fit);
    xg_json_kint(&j, "ddr_bound_cycles", (int64_t)r->ddr_bound);
    xg_json_kint(&j, "least_ddr_bytes", (int64_t)r->least_ddr_bytes);
    xg_json_kint(&j, "least_ddr_cycles", (int64_t)r->least_ddr_cycles);
    xg_json_knum(&j, "roofline", roofline(r));
    xg_json_kint(&j, "ddr_busy_cycles", (int64_t)r->ddr_busy_cycles);
    xg_json_kint(&j, "weights_bytes", (int64_t)r->weights_bytes);
    xg_json_kint(&j, "maps_in_bytes", (int64_t)r->in_bytes);
    xg_json_kint(&j, "maps_out_bytes", (int64_t)r->out_bytes);
    xg_json_kint(&j, "instructions", (int64_t)r->instructions);
    json_memory(r, &j);
    json_engines(r, &j);
    json_layers(r, &j);
    xg_json_key(&j, "host_steps");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < r->host.n; i++) {
        xg_json_open(&j, '{');
        xg_json_kint(&j, "step", r->host.v[i].step);
        xg_json_kstr(&j, "node", r->host.v[i].node);
        xg_json_kstr(&j, "op", r->host.v[i].op);
        xg_json_kstr(&j, "reason", r->host.v[i].reason);
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    xg_json_key(&j, "sqnr");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < r->sqnr.n; i++) {
        xg_json_open(&j, '{');
        xg_json_kstr(&j, "node", r->sqnr.v[i].node);
        xg_json_knum(&j, "db", r->sqnr.v[i].sqnr_db);
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}

/* A CSV field: quoted, quotes doubled (RFC 4180). */
static void put_csv(xg_buf *out, const char *s) {
    xg_puts(out, "\"");
    for (; s && *s; s++) {
        if (*s == '"') xg_puts(out, "\"");
        xg_put(out, s, 1);
    }
    xg_puts(out, "\"");
}

void xg_report_print_csv(const xg_report *r, xg_buf *out) {
    xg_puts(out, "node,onnx,op,cycles,predicted_cycles,share_percent,macs,peak_percent,weights_"
                 "bytes,maps_in_bytes,"
                 "maps_out_bytes,instructions");
    for (uint32_t e = 0; e < r->nengine; e++)
        xg_putf(out, ",busy_%s_cycles", r->machine->family->engine_names[e]);
    xg_puts(out, "\n");
    for (uint32_t i = 0; i < r->layer.n; i++) {
        const xg_layer_row *l = &r->layer.v[i];
        put_csv(out, l->node);
        xg_puts(out, ",");
        put_csv(out, l->onnx);
        xg_putf(out,
                ",%s,%" PRIu64 ",%" PRIu64 ",%.3f,%" PRIu64 ",%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64
                ",%" PRIu64,
                l->op, l->cycles, l->predicted, percent_u(l->cycles, r->cycles), l->macs,
                layer_peak(r, l), l->weights_bytes, l->in_bytes, l->out_bytes, l->instructions);
        for (uint32_t e = 0; e < r->nengine; e++) xg_putf(out, ",%" PRIu64, l->busy[e]);
        xg_puts(out, "\n");
    }
}
