#include "validate/report.h"

#include "base/json.h"

#include <inttypes.h>

static const char *quoted(xg_arena *a, const char *s) {
    xg_buf b = {.arena = a};
    xg_json j;
    xg_json_init(&j, &b);
    xg_json_str(&j, s);
    return b.p;
}

/* Names of the processes and threads of the picture. */
static void put_names(const xg_report *r, xg_buf *out) {
    for (uint32_t i = 0; i < r->ncore * r->nengine; i++) {
        uint32_t core = i / r->nengine, engine = i % r->nengine;
        if (engine == 0)
            xg_putf(out,
                    "%s\n{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": %u, \"args\": "
                    "{\"name\": \"core %u\"}}",
                    i ? "," : "", core, core);
        xg_putf(out,
                ",\n{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": %u, \"tid\": %u, \"args\": "
                "{\"name\": \"%s\"}}",
                core, engine, r->machine->family->engine_names[engine]);
    }
}

void xg_report_print_trace(const xg_report *r, xg_buf *out) {
    const xg_family *f = r->machine->family;
    double us = r->machine->clock_khz / 1000.0;
    const char **name = xg_newn(out->arena, const char *, r->layer.n + 1);
    for (uint32_t i = 0; i < r->layer.n; i++) name[i] = quoted(out->arena, r->layer.v[i].node);
    xg_putf(out, "{\"displayTimeUnit\": \"ns\", \"otherData\": {\"model\": %s, \"machine\": %s},\n",
            quoted(out->arena, r->model), quoted(out->arena, r->machine->name));
    xg_puts(out, "\"traceEvents\": [");
    put_names(r, out);
    for (uint32_t i = 0; i < r->span.n; i++) {
        const xg_report_span *s = &r->span.v[i];
        const xg_inst_desc *d = &f->inst[s->op];
        if (s->end == s->start) continue;
        xg_putf(out,
                ",\n{\"ph\": \"X\", \"name\": %s, \"cat\": \"%s\", \"pid\": %u, \"tid\": %u, "
                "\"ts\": %.4f, \"dur\": %.4f, \"args\": {\"op\": \"%s\", \"segment\": %u, "
                "\"instruction\": %u, \"cycles\": %" PRIu64 "}}",
                s->layer == XG_NONE ? "\"-\"" : name[s->layer], d->mnemonic, s->core, d->engine,
                (double)s->start / us, (double)(s->end - s->start) / us, d->mnemonic, s->segment,
                s->inst, s->end - s->start);
    }
    xg_puts(out, "\n]}\n");
}
