#include "validate/check.h"

#include "base/json.h"

#include <inttypes.h>
#include <string.h>

static const char *value_text(xg_arena *a, const xg_divergence *d, int64_t v) {
    if (!d->is_f32) return xg_strf(a, "%" PRId64, v);
    uint32_t bits = (uint32_t)v;
    float f;
    memcpy(&f, &bits, sizeof f);
    return xg_strf(a, "%.9g (0x%08x)", (double)f, bits);
}

static void put_divergence(const xg_divergence *d, xg_buf *out) {
    xg_arena *a = out->arena;
    xg_putf(out, "  input       %s\n", d->input);
    xg_putf(out, "  tensor      %s", d->tensor);
    if (d->tensor_onnx && strcmp(d->tensor_onnx, d->tensor))
        xg_putf(out, "  (ONNX %s)", d->tensor_onnx);
    xg_putf(out, "  %s\n", d->where);
    xg_putf(out, "  element     [n %u, h %u, w %u, c %u]  expected %s, got %s\n", d->n, d->h, d->w,
            d->c, value_text(a, d, d->expected), value_text(a, d, d->got));
    xg_putf(out, "  wrong       %" PRIu64 " of %" PRIu64 " elements", d->wrong, d->of);
    if (d->has_map)
        xg_putf(out, " of rows %u..%u, columns %u..%u, channels %u..%u", d->h0, d->h1 - 1, d->w0,
                d->w1 - 1, d->c0, d->c1 - 1);
    if (d->has_map && d->flat) xg_putf(out, " (flat, rows of %u pixels)", d->flat);
    xg_puts(out, "\n");
    if (d->has_map)
        xg_putf(out, "  made by     step %u, group %u, tile %u", d->step, d->group, d->tile);
    else
        xg_putf(out, "  made by     step %u", d->step);
    if (d->node) xg_putf(out, ", node %s", d->node);
    if (d->onnx && !(d->node && !strcmp(d->onnx, d->node))) xg_putf(out, "  (ONNX %s)", d->onnx);
    xg_puts(out, "\n");
    if (d->has_inst)
        xg_putf(out,
                "  written by  segment %u core %u offset 0x%" PRIx64
                " (instruction %u)\n              %s\n",
                d->segment, d->core, d->inst_offset, d->inst, d->inst_text);
    xg_putf(out, "  verdict     %s\n", d->verdict);
}

void xg_check_print_text(const xg_check_result *r, bool verbose, xg_buf *out) {
    uint32_t failed = 0;
    for (uint32_t i = 0; i < r->cases.n; i++) {
        const xg_check_case *k = &r->cases.v[i];
        failed += !k->ok;
        if (verbose || !k->ok)
            xg_putf(out, "%s  %s%s%s\n", k->ok ? "ok  " : "FAIL", k->name, k->message ? ": " : "",
                    k->message ? k->message : "");
    }
    for (uint32_t i = 0; i < r->divergence.n && (i == 0 || verbose); i++) {
        xg_puts(out,
                i == 0 ? "first difference, in program order:\n" : "another group's difference:\n");
        put_divergence(&r->divergence.v[i], out);
    }
    if (r->divergence.n)
        xg_putf(out, "groups at fault by themselves: %u of %u%s\n", r->groups_wrong, r->groups,
                r->divergence.n > 1 && !verbose ? " (-v shows the others)" : "");
    if (r->incomplete.n) {
        xg_putf(out, "made only in part, and compared in that part: %u tensor%s", r->incomplete.n,
                r->incomplete.n == 1 ? "" : "s");
        for (uint32_t i = 0; i < r->incomplete.n && (verbose || i < 3); i++)
            xg_putf(out, "%s %s", i ? "," : ":", r->incomplete.v[i]);
        xg_puts(out, !verbose && r->incomplete.n > 3 ? ", ...\n" : "\n");
    }
    if (r->scheme) xg_putf(out, "requantisation: %s\n", r->scheme);
    xg_putf(out,
            "%s  %u input set%s x %u tensors (%u on chip only), %" PRIu64 " elements each, %" PRIu64
            " instructions; %u of %u checks passed\n",
            r->equal ? "EQUAL" : "DIFFERENT", r->input_sets, r->input_sets == 1 ? "" : "s",
            r->tensors_complete, r->tensors_chip, r->elements, r->instructions, r->cases.n - failed,
            r->cases.n);
}

static void json_divergence(xg_json *j, const xg_divergence *d) {
    xg_json_open(j, '{');
    xg_json_kstr(j, "input", d->input);
    xg_json_kstr(j, "tensor", d->tensor);
    if (d->tensor_onnx) xg_json_kstr(j, "tensor_onnx", d->tensor_onnx);
    xg_json_kstr(j, "where", d->where);
    xg_json_key(j, "element");
    xg_json_open(j, '[');
    xg_json_int(j, d->n), xg_json_int(j, d->h), xg_json_int(j, d->w), xg_json_int(j, d->c);
    xg_json_close(j, ']');
    xg_json_kint(j, d->is_f32 ? "expected_bits" : "expected", d->expected);
    xg_json_kint(j, d->is_f32 ? "got_bits" : "got", d->got);
    xg_json_kint(j, "wrong", (int64_t)d->wrong);
    xg_json_kint(j, "of", (int64_t)d->of);
    xg_json_kint(j, "step", d->step);
    if (d->has_map) {
        xg_json_kint(j, "group", d->group);
        xg_json_kint(j, "tile", d->tile);
    }
    if (d->node) xg_json_kstr(j, "node", d->node);
    if (d->onnx) xg_json_kstr(j, "onnx", d->onnx);
    if (d->has_inst) {
        xg_json_kint(j, "segment", d->segment);
        xg_json_kint(j, "core", d->core);
        xg_json_kint(j, "instruction", d->inst);
        xg_json_kint(j, "offset", (int64_t)d->inst_offset);
        xg_json_kstr(j, "disassembly", d->inst_text);
    }
    xg_json_kstr(j, "verdict", d->verdict);
    xg_json_close(j, '}');
}

void xg_check_print_json(const xg_check_result *r, xg_buf *out) {
    xg_json j;
    xg_json_init(&j, out);
    xg_json_open(&j, '{');
    xg_json_kstr(&j, "verdict", r->equal ? "equal" : "different");
    xg_json_kstr(&j, "machine", r->machine);
    xg_json_kstr(&j, "strategy", r->strategy);
    if (r->scheme) xg_json_kstr(&j, "requantisation", r->scheme);
    xg_json_kint(&j, "input_sets", r->input_sets);
    xg_json_kint(&j, "tensors", r->tensors);
    xg_json_kint(&j, "tensors_compared", r->tensors_complete);
    xg_json_kint(&j, "tensors_on_chip_only", r->tensors_chip);
    xg_json_kint(&j, "elements", (int64_t)r->elements);
    xg_json_kint(&j, "instructions", (int64_t)r->instructions);
    xg_json_kint(&j, "groups", r->groups);
    xg_json_kint(&j, "groups_at_fault", r->groups_wrong);
    xg_json_key(&j, "incomplete");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < r->incomplete.n; i++) xg_json_str(&j, r->incomplete.v[i]);
    xg_json_close(&j, ']');
    xg_json_key(&j, "checks");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < r->cases.n; i++) {
        xg_json_open(&j, '{');
        xg_json_kstr(&j, "name", r->cases.v[i].name);
        xg_json_kbool(&j, "ok", r->cases.v[i].ok);
        if (r->cases.v[i].message) xg_json_kstr(&j, "message", r->cases.v[i].message);
        xg_json_close(&j, '}');
    }
    xg_json_close(&j, ']');
    xg_json_key(&j, "differences");
    xg_json_open(&j, '[');
    for (uint32_t i = 0; i < r->divergence.n; i++) json_divergence(&j, &r->divergence.v[i]);
    xg_json_close(&j, ']');
    xg_json_close(&j, '}');
    xg_puts(out, "\n");
}

void xg_check_print_junit(const xg_check_result *r, xg_buf *out) {
    uint32_t failed = 0;
    for (uint32_t i = 0; i < r->cases.n; i++) failed += !r->cases.v[i].ok;
    xg_puts(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"xgc check ");
    xg_put_xml(out, r->machine);
    xg_putf(out, "\" tests=\"%u\" failures=\"%u\" errors=\"0\">\n", r->cases.n, failed);
    for (uint32_t i = 0; i < r->cases.n; i++) {
        const xg_check_case *k = &r->cases.v[i];
        xg_puts(out, "    <testcase classname=\"xgc.check\" name=\"");
        xg_put_xml(out, k->name);
        if (k->ok) {
            xg_puts(out, "\"/>\n");
            continue;
        }
        xg_puts(out, "\">\n      <failure message=\"");
        xg_put_xml(out, k->message);
        xg_puts(out, "\">");
        xg_buf text = {.arena = out->arena};
        for (uint32_t d = 0; d < r->divergence.n; d++)
            if (!strncmp(k->name, r->divergence.v[d].input, strlen(r->divergence.v[d].input)) &&
                k->name[strlen(r->divergence.v[d].input)] == ':')
                put_divergence(&r->divergence.v[d], &text);
        if (text.n) xg_put_xml(out, text.p);
        xg_puts(out, "</failure>\n    </testcase>\n");
    }
    xg_puts(out, "  </testsuite>\n</testsuites>\n");
}

void xg_check_print_tap(const xg_check_result *r, xg_buf *out) {
    xg_putf(out, "TAP version 13\n1..%u\n", r->cases.n);
    for (uint32_t i = 0; i < r->cases.n; i++) {
        const xg_check_case *k = &r->cases.v[i];
        xg_putf(out, "%s %u - %s\n", k->ok ? "ok" : "not ok", i + 1, k->name);
        if (k->message) xg_putf(out, "# %s\n", k->message);
    }
}
