#include "base/json.h"

#include <assert.h>
#include <math.h>

void xg_json_init(xg_json *j, xg_buf *out) {
    *j = (xg_json){.out = out, .first = true};
}

static void new_line(xg_json *j) {
    xg_put(j->out, "\n", 1);
    for (uint32_t i = 0; i < j->depth; i++) xg_put(j->out, "  ", 2);
}

/* What must stand before a value or a key: nothing after a key, else a comma and a new line. */
static void lead(xg_json *j) {
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (!j->first) xg_put(j->out, ",", 1);
    if (j->depth) new_line(j);
    j->first = false;
}

void xg_json_open(xg_json *j, char bracket) {
    lead(j);
    xg_put(j->out, &bracket, 1);
    j->depth++;
    j->first = true;
}

void xg_json_close(xg_json *j, char bracket) {
    assert(j->depth > 0 && !j->after_key);
    j->depth--;
    if (!j->first) new_line(j);
    xg_put(j->out, &bracket, 1);
    j->first = false;
    if (!j->depth) xg_put(j->out, "\n", 1);
}

void xg_json_key(xg_json *j, const char *key) {
    lead(j);
    xg_put_quoted(j->out, key, true);
    xg_put(j->out, ": ", 2);
    j->after_key = true;
}

void xg_json_str(xg_json *j, const char *s) {
    lead(j);
    xg_put_quoted(j->out, s, true);
}

void xg_json_int(xg_json *j, int64_t v) {
    lead(j);
    xg_putf(j->out, "%lld", (long long)v);
}

void xg_json_num(xg_json *j, double v) {
    lead(j);
    if (isfinite(v))
        xg_putf(j->out, "%.9g", v);
    else
        xg_puts(j->out, "null");
}

void xg_json_bool(xg_json *j, bool v) {
    lead(j);
    xg_puts(j->out, v ? "true" : "false");
}

void xg_json_kstr(xg_json *j, const char *key, const char *s) {
    xg_json_key(j, key);
    xg_json_str(j, s);
}

void xg_json_kint(xg_json *j, const char *key, int64_t v) {
    xg_json_key(j, key);
    xg_json_int(j, v);
}

void xg_json_knum(xg_json *j, const char *key, double v) {
    xg_json_key(j, key);
    xg_json_num(j, v);
}

void xg_json_kbool(xg_json *j, const char *key, bool v) {
    xg_json_key(j, key);
    xg_json_bool(j, v);
}
