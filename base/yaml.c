#include "base/yaml.h"

#include <cyaml/cyaml.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { DEPTH_MAX = 16, ENTRY_MAX = 1 << 16, TEXT_MAX = 1 << 20, MESSAGE_MAX = 400 };

typedef struct entry {
    const char *path;
    const char *text; /* NULL: a mapping or a sequence */
    uint32_t line, column;
} entry;

struct xg_yaml {
    xg_arena *arena;
    const char *file;
    xg_map by_path;
    XG_VEC(entry) entry;
};

/* Foreign objects of one load; freed with the arena, also when memory runs out in the middle. */
typedef struct foreign {
    yaml_parser_t parser;
    yaml_event_t event;
    bool parser_live, event_live;
    cyaml_config_t config;
    const cyaml_schema_value_t *schema;
    void *data;
} foreign;

static void foreign_free(void *p) {
    foreign *f = p;
    if (f->event_live) yaml_event_delete(&f->event);
    if (f->parser_live) yaml_parser_delete(&f->parser);
    f->event_live = f->parser_live = false;
    if (f->data) cyaml_free(&f->config, f->schema, f->data, 0);
    f->data = NULL;
}

static xg_status error_at(const xg_yaml *y, xg_status st, size_t line, size_t column,
                          const char *text) {
    const char *where = xg_strf(y->arena, "%s:%zu:%zu", y->file, line, column);
    return xg_error(xg_arena_ctx(y->arena), st, where, "%s", text);
}

/* ---- the index: every value with its path and place ---------------------------------------------
 */

typedef struct level {
    bool mapping;
    const char *path; /* of the container */
    const char *key;  /* mapping: key that waits for its value */
    uint32_t n;       /* sequence: entries so far */
} level;

typedef struct scan {
    xg_yaml *y;
    foreign *f;
    level stack[DEPTH_MAX];
    uint32_t depth;
    bool done;
} scan;

static xg_status scan_error(scan *s, const char *text) {
    const yaml_mark_t *m = &s->f->event.start_mark;
    return error_at(s->y, XG_INPUT, m->line + 1, m->column + 1, text);
}

/* "PATH.KEY", or the key alone at the top. Thousands are made, hence without printf. */
static const char *path_of(xg_arena *a, const char *path, const char *key) {
    size_t n = strlen(path), k = strlen(key);
    if (!n) return key;
    char *p = xg_alloc(a, n + k + 2);
    memcpy(p, path, n);
    p[n] = '.';
    memcpy(p + n + 1, key, k);
    return p;
}

/* The path of the value that starts now, and its entry in the index. */
static xg_status scan_value(scan *s, const char *text, const char **path) {
    xg_yaml *y = s->y;
    *path = "";
    if (s->depth) {
        level *l = &s->stack[s->depth - 1];
        *path = l->mapping ? path_of(y->arena, l->path, l->key)
                           : xg_strf(y->arena, "%s[%u]", l->path, l->n++);
        l->key = NULL;
    }
    if (y->entry.n >= ENTRY_MAX) return scan_error(s, "more than 65536 values");
    if (xg_map_get(&y->by_path, *path) != XG_NONE)
        return scan_error(s, xg_strf(y->arena, "field '%s' is given twice", *path));
    const yaml_mark_t *m = &s->f->event.start_mark;
    xg_map_set(&y->by_path, *path, y->entry.n);
    xg_push(y->arena, &y->entry,
            (entry){*path, text, (uint32_t)m->line + 1, (uint32_t)m->column + 1});
    return XG_OK;
}

static xg_status scan_open(scan *s, bool mapping) {
    const char *path;
    if (s->depth && s->stack[s->depth - 1].mapping && !s->stack[s->depth - 1].key)
        return scan_error(s, "a field name must be plain text");
    xg_status st = scan_value(s, NULL, &path);
    if (st) return st;
    if (s->depth == DEPTH_MAX) return scan_error(s, "nested deeper than 16 levels");
    s->stack[s->depth++] = (level){mapping, path, NULL, 0};
    return XG_OK;
}

static xg_status scan_scalar(scan *s) {
    const char *text = (const char *)s->f->event.data.scalar.value;
    size_t n = s->f->event.data.scalar.length;
    if (strlen(text) != n) return scan_error(s, "a NUL character in a value");
    text = xg_strndup(s->y->arena, text, n);
    if (s->depth) {
        level *l = &s->stack[s->depth - 1];
        if (l->mapping && !l->key) {
            l->key = text;
            return XG_OK;
        }
    }
    const char *path;
    return scan_value(s, text, &path);
}

static xg_status scan_event(scan *s) {
    switch (s->f->event.type) {
    case YAML_ALIAS_EVENT:
        return scan_error(s, "aliases (*name) are not allowed");
    case YAML_SCALAR_EVENT:
        return scan_scalar(s);
    case YAML_MAPPING_START_EVENT:
        return scan_open(s, true);
    case YAML_SEQUENCE_START_EVENT:
        return scan_open(s, false);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        s->depth--;
        return XG_OK;
    case YAML_DOCUMENT_START_EVENT:
        return s->y->entry.n ? scan_error(s, "a second document") : XG_OK;
    case YAML_STREAM_END_EVENT:
        s->done = true;
        return XG_OK;
    default:
        return XG_OK;
    }
}

static xg_status scan_text(xg_yaml *y, foreign *f, const void *text, size_t n) {
    if (!yaml_parser_initialize(&f->parser))
        return xg_error(xg_arena_ctx(y->arena), XG_NOMEM, y->file, "no memory for the YAML reader");
    f->parser_live = true;
    yaml_parser_set_input_string(&f->parser, text, n);
    scan s = {.y = y, .f = f};
    xg_status st = XG_OK;
    while (!st && !s.done) {
        if (!yaml_parser_parse(&f->parser, &f->event)) {
            const yaml_mark_t *m = &f->parser.problem_mark;
            const char *what = f->parser.problem ? f->parser.problem : "no memory";
            return error_at(y, XG_INPUT, m->line + 1, m->column + 1,
                            xg_strf(y->arena, "YAML: %s", what));
        }
        f->event_live = true;
        st = scan_event(&s);
        yaml_event_delete(&f->event);
        f->event_live = false;
    }
    return st;
}

static const entry *find(const xg_yaml *y, const char *field) {
    uint32_t i = xg_map_get(&y->by_path, field);
    return i == XG_NONE ? NULL : &y->entry.v[i];
}

bool xg_yaml_has(const xg_yaml *y, const char *field) {
    return find(y, field) != NULL;
}

xg_status xg_yaml_error(const xg_yaml *y, xg_status st, const char *field, const char *fmt, ...) {
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *message = xg_strf(y->arena, "field '%s': %s", field, text);
    const entry *e = find(y, field);
    if (!e) return xg_error(xg_arena_ctx(y->arena), st, y->file, "%s", message);
    return error_at(y, st, e->line, e->column, message);
}

/* ---- values
 * ---------------------------------------------------------------------------------------- */

static bool parse_int(const char *s, int64_t *out) {
    bool minus = *s == '-';
    s += minus;
    int base = s[0] == '0' && (s[1] == 'x' || s[1] == 'X') ? 16 : 10;
    s += base == 16 ? 2 : 0;
    size_t n = strspn(s, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");
    if (!n || s[n]) return false;
    int64_t v = 0;
    for (; *s; s++) {
        int digit = *s <= '9' ? *s - '0' : (*s | 32) - 'a' + 10;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = minus ? -v : v;
    return true;
}

static xg_status check_word(const xg_yaml *y, const char *path, const xg_yaml_field *f,
                            const char *text) {
    xg_buf all = {.arena = y->arena};
    for (const char *const *w = f->words; *w; w++) {
        if (!strcmp(*w, text)) return XG_OK;
        xg_putf(&all, "%s%s", all.n ? ", " : "", *w);
    }
    return xg_yaml_error(y, XG_INPUT, path, "found '%.40s', expected one of: %s", text,
                         all.p ? all.p : "");
}

static xg_status check_scalar(const xg_yaml *y, const char *path, const xg_yaml_field *f,
                              const char *text) {
    int64_t v;
    switch (f->kind) {
    case XG_YAML_INT:
        if (!parse_int(text, &v) || v < f->lo || v > f->hi)
            return xg_yaml_error(y, XG_INPUT, path,
                                 "found '%.40s', expected a whole number from %" PRId64
                                 " to %" PRId64,
                                 text, f->lo, f->hi);
        return XG_OK;
    case XG_YAML_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false"))
            return xg_yaml_error(y, XG_INPUT, path, "found '%.40s', expected true or false", text);
        return XG_OK;
    case XG_YAML_WORD:
        return check_word(y, path, f, text);
    case XG_YAML_TEXT:
        if (strlen(text) > (size_t)f->hi)
            return xg_yaml_error(y, XG_INPUT, path, "text longer than %" PRId64 " bytes", f->hi);
        return XG_OK;
    default:
        return xg_yaml_error(y, XG_INPUT, path, "found '%.40s', expected nested fields", text);
    }
}

static xg_status check_map(const xg_yaml *y, const char *path, const xg_yaml_map *m);

static xg_status check_list(const xg_yaml *y, const char *path, const xg_yaml_field *f) {
    for (int64_t i = 0; i <= f->hi; i++) {
        const char *item = xg_strf(y->arena, "%s[%" PRId64 "]", path, i);
        const entry *e = find(y, item);
        if (!e) break;
        if (!e->text && f->map) {
            xg_status st = check_map(y, item, f->map);
            if (st) return st;
        }
    }
    return XG_OK;
}

/* Values of the fields that are there. Structure (unknown, missing, wrong kind) is libcyaml's part.
 */
static xg_status check_map(const xg_yaml *y, const char *path, const xg_yaml_map *m) {
    xg_status st = XG_OK;
    for (const xg_yaml_field *f = m->field; f->key && !st; f++) {
        const char *p = path_of(y->arena, path, f->key);
        const entry *e = find(y, p);
        if (!e) continue;
        if (e->text)
            st = check_scalar(y, p, f, e->text);
        else if (f->kind == XG_YAML_MAP)
            st = check_map(y, p, f->map);
        else if (f->kind == XG_YAML_LIST)
            st = check_list(y, p, f);
    }
    return st;
}

/* ---- the schema in libcyaml's form
 * ---------------------------------------------------------------- */

static const cyaml_schema_field_t *convert_map(xg_arena *a, const xg_yaml_map *m);

static void convert_words(xg_arena *a, const xg_yaml_field *f, cyaml_schema_value_t *v) {
    uint32_t n = 0;
    while (f->words[n]) n++;
    cyaml_strval_t *s = xg_newn(a, cyaml_strval_t, n);
    for (uint32_t i = 0; i < n; i++) s[i] = (cyaml_strval_t){.str = f->words[i], .val = i};
    v->type = CYAML_ENUM;
    v->flags |= CYAML_FLAG_STRICT;
    v->data_size = sizeof(int32_t);
    v->enumeration.strings = s;
    v->enumeration.count = n;
}

static void convert_list(xg_arena *a, const xg_yaml_field *f, cyaml_schema_value_t *v) {
    cyaml_schema_value_t *item = xg_new(a, cyaml_schema_value_t);
    if (f->map)
        *item = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                       .data_size = (uint32_t)f->map->size,
                                       .mapping.fields = convert_map(a, f->map)};
    else
        *item = (cyaml_schema_value_t){.type = CYAML_STRING,
                                       .flags = CYAML_FLAG_POINTER,
                                       .data_size = 1,
                                       .string.max = CYAML_UNLIMITED};
    v->type = CYAML_SEQUENCE;
    v->flags |= CYAML_FLAG_POINTER;
    v->data_size = item->flags & CYAML_FLAG_POINTER ? sizeof(char *) : item->data_size;
    v->sequence.entry = item;
    v->sequence.min = (uint32_t)f->lo;
    v->sequence.max = (uint32_t)f->hi;
}

static void convert_value(xg_arena *a, const xg_yaml_field *f, cyaml_schema_value_t *v) {
    v->flags = f->optional ? CYAML_FLAG_OPTIONAL : CYAML_FLAG_DEFAULT;
    switch (f->kind) {
    case XG_YAML_INT:
        v->type = CYAML_INT;
        v->data_size = sizeof(int64_t);
        break;
    case XG_YAML_BOOL:
        v->type = CYAML_BOOL;
        v->data_size = sizeof(bool);
        break;
    case XG_YAML_WORD:
        convert_words(a, f, v);
        break;
    case XG_YAML_TEXT:
        v->type = CYAML_STRING;
        v->flags |= CYAML_FLAG_POINTER;
        v->data_size = 1;
        v->string.max = CYAML_UNLIMITED;
        break;
    case XG_YAML_MAP:
        v->type = CYAML_MAPPING;
        v->data_size = (uint32_t)f->map->size;
        v->mapping.fields = convert_map(a, f->map);
        break;
    case XG_YAML_LIST:
        convert_list(a, f, v);
        break;
    }
}

static const cyaml_schema_field_t *convert_map(xg_arena *a, const xg_yaml_map *m) {
    uint32_t n = 0;
    while (m->field[n].key) n++;
    cyaml_schema_field_t *out = xg_newn(a, cyaml_schema_field_t, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const xg_yaml_field *f = &m->field[i];
        out[i].key = f->key;
        out[i].data_offset = f->offset;
        out[i].count_offset = f->count_offset;
        out[i].count_size = f->kind == XG_YAML_LIST ? sizeof(uint32_t) : 0;
        convert_value(a, f, &out[i].value);
    }
    return out;
}

/* ---- libcyaml's complaint, as one line
 * --------------------------------------------------------------- */

typedef struct complaint {
    char text[MESSAGE_MAX];       /* "Unexpected key: zz" */
    char name[DEPTH_MAX + 2][64]; /* backtrace, innermost first; "" for a mapping between fields */
    unsigned line, column;        /* innermost mark; 0 = none */
    uint32_t depth;
} complaint;

static void log_line(cyaml_log_t severity, void *ctx, const char *fmt, va_list args) {
    complaint *k = ctx;
    char line[MESSAGE_MAX];
    vsnprintf(line, sizeof line, fmt, args);
    if (severity != CYAML_LOG_ERROR) return;
    line[strcspn(line, "\n")] = 0;
    const char *s = !strncmp(line, "Load: ", 6) ? line + 6 : line;
    if (!strcmp(s, "Backtrace:")) return;
    if (strncmp(s, "  in ", 5)) {
        if (!k->text[0]) snprintf(k->text, sizeof k->text, "%s", s);
        return;
    }
    if (k->depth >= XG_COUNT(k->name)) return;
    const char *quote = strchr(s, '\'');
    const char *mark = strstr(s, "(line: ");
    unsigned entry_number; /* from 1; the index counts from 0 */
    if (sscanf(s, "  in sequence entry '%u'", &entry_number) == 1)
        snprintf(k->name[k->depth], sizeof k->name[0], "[%u]", entry_number - 1);
    else if (quote)
        snprintf(k->name[k->depth], sizeof k->name[0], "%.*s", (int)strcspn(quote + 1, "'"),
                 quote + 1);
    if (!k->depth && mark) sscanf(mark, "(line: %u, column: %u)", &k->line, &k->column);
    k->depth++;
}

static const char *after(const char *text, const char *head) {
    size_t n = strlen(head);
    return strncmp(text, head, n) ? NULL : text + n;
}

static xg_status explain(const xg_yaml *y, const complaint *k) {
    const char *unknown = after(k->text, "Unexpected key: ");
    const char *missing = after(k->text, "Missing required mapping field: ");
    /* The innermost mark of an unknown or a missing key is the value before it: leave it out of the
     * path. */
    uint32_t inner = (unknown || missing) && k->depth ? 1 : 0;
    xg_buf path = {.arena = y->arena};
    for (uint32_t i = k->depth; i-- > inner;)
        if (k->name[i][0])
            xg_putf(&path, "%s%s", path.n && k->name[i][0] != '[' ? "." : "", k->name[i]);
    const char *parent = path.n ? xg_strdup(y->arena, path.p) : "";
    if (unknown) {
        if (path.n)
            xg_putf(&path, ".%s", unknown);
        else
            xg_puts(&path, unknown);
        return xg_yaml_error(y, XG_INPUT, path.p, "unknown field");
    }
    if (missing) {
        const entry *e = find(y, parent);
        return error_at(
            y, XG_INPUT, e ? e->line : 1, e ? e->column : 1,
            xg_strf(y->arena, "field '%s%s%s' is missing", parent, *parent ? "." : "", missing));
    }
    if (k->line)
        return error_at(y, XG_INPUT, k->line, k->column,
                        xg_strf(y->arena, "field '%s': %s", parent, k->text));
    return error_at(y, XG_INPUT, 1, 1, k->text[0] ? k->text : "not a YAML mapping");
}

static void *allocate(void *ctx, void *p, size_t n) {
    (void)ctx;
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

static xg_status fill(const xg_yaml *y, foreign *f, const void *text, size_t n,
                      const xg_yaml_map *top, void *out) {
    cyaml_schema_value_t *root = xg_new(y->arena, cyaml_schema_value_t);
    *root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                   .flags = CYAML_FLAG_POINTER,
                                   .data_size = (uint32_t)top->size,
                                   .mapping.fields = convert_map(y->arena, top)};
    complaint *k = xg_new(y->arena, complaint);
    f->schema = root;
    f->config = (cyaml_config_t){.log_fn = log_line,
                                 .log_ctx = k,
                                 .mem_fn = allocate,
                                 .log_level = CYAML_LOG_ERROR,
                                 .flags = CYAML_CFG_NO_ALIAS};
    cyaml_err_t e = cyaml_load_data(text, n, &f->config, root, (cyaml_data_t **)&f->data, NULL);
    if (e == CYAML_ERR_OOM)
        return xg_error(xg_arena_ctx(y->arena), XG_NOMEM, y->file, "no memory for YAML");
    if (e || !f->data) return explain(y, k);
    memcpy(out, f->data, top->size);
    return XG_OK;
}

xg_status xg_yaml_load(xg_arena *a, const char *path, const void *text, size_t n,
                       const xg_yaml_map *top, void *out, xg_yaml **index) {
    xg_yaml *y = xg_new(a, xg_yaml);
    y->arena = a;
    y->file = xg_strdup(a, path);
    y->by_path.arena = a;
    *index = y;
    if (n > TEXT_MAX) return xg_error(xg_arena_ctx(a), XG_INPUT, path, "longer than 1 MiB");
    foreign *f = xg_new(a, foreign);
    xg_arena_defer(a, foreign_free, f);
    xg_status st = scan_text(y, f, text, n);
    if (!st) st = check_map(y, "", top);
    if (!st) st = fill(y, f, text, n, top, out);
    return st;
}

/* ---- decimals
 * -------------------------------------------------------------------------------------------- */

xg_status xg_yaml_decimal(const xg_yaml *y, const char *field, int64_t scale, int64_t lo,
                          int64_t hi, int64_t *out) {
    const entry *e = find(y, field);
    const char *s = e && e->text ? e->text : "";
    size_t whole = strspn(s, "0123456789");
    size_t part = s[whole] == '.' ? strspn(s + whole + 1, "0123456789") : 0;
    size_t used = whole + (s[whole] == '.' ? 1 + part : 0);
    bool ok = whole && whole <= 9 && part <= 9 && !s[used] && (s[whole] != '.' || part);
    __int128 v = 0, power = 1;
    for (size_t i = 0; ok && i < used; i++) {
        if (s[i] == '.') continue;
        v = v * 10 + (s[i] - '0');
        if (i > whole) power *= 10;
    }
    v = (2 * v * scale + power) / (2 * power);
    xg_buf lows = {.arena = y->arena}, highs = {.arena = y->arena};
    xg_yaml_put_decimal(&lows, lo, scale);
    xg_yaml_put_decimal(&highs, hi, scale);
    if (!ok || v < lo || v > hi)
        return xg_yaml_error(y, XG_INPUT, field, "found '%.40s', expected a number from %s to %s",
                             s, lows.p, highs.p);
    *out = (int64_t)v;
    return XG_OK;
}

void xg_yaml_put_decimal(xg_buf *b, int64_t n, int64_t scale) {
    int64_t part = (int64_t)((__int128)(n % scale) * 1000000000 / scale);
    char digits[16];
    int len = snprintf(digits, sizeof digits, "%09" PRId64, part);
    while (len > 0 && digits[len - 1] == '0') digits[--len] = 0;
    xg_putf(b, "%" PRId64 "%s%s", n / scale, len ? "." : "", digits);
}
