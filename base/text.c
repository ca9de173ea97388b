#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FEW_KEYS 32u

void xg_reader_init(xg_reader *r, xg_arena *a, const char *path, const char *text, size_t n) {
    *r = (xg_reader){.arena = a, .path = path, .p = text, .end = text ? text + n : text};
}

static xg_status error_at(xg_reader *r, uint32_t column, const char *fmt, va_list ap) {
    xg_ctx *c = xg_arena_ctx(r->arena);
    const char *text = xg_vstrf(r->arena, fmt, ap);
    const char *where = column ? xg_strf(r->arena, "%s:%u:%u", r->path, r->number, column)
                               : xg_strf(r->arena, "%s:%u", r->path, r->number);
    return xg_error(c, XG_INPUT, where, "%s", text);
}

xg_status xg_reader_error(xg_reader *r, const xg_item *item, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    xg_status st = error_at(r, item ? item->column : 0, fmt, ap);
    va_end(ap);
    return st;
}

/* ---- one line
 * -------------------------------------------------------------------------------------------- The
 * line is copied once into the arena and cut up in place: the byte behind an atom (a blank, '=',
 * ',', ']', a closing quote or the line's NUL) becomes its NUL. Since `end` is where the copy's NUL
 * stands, p <= end holds throughout, and the separator is remembered before it is overwritten. */

typedef struct cutter {
    xg_reader *r;
    char *line, *p, *end;
} cutter;

static xg_status XG_PRINTF(2, 3) cut_error(cutter *k, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    xg_status st = error_at(k->r, (uint32_t)(k->p - k->line) + 1, fmt, ap);
    va_end(ap);
    return st;
}

static bool is_word(char ch) {
    return isalnum((unsigned char)ch) ? (unsigned char)ch < 0x80
                                      : ch != '\0' && strchr("_.:/@+-<>*%$~|", ch) != NULL;
}

static bool is_blank(char ch) {
    return ch == ' ' || ch == '\t';
}

static void skip_blanks(cutter *k) {
    while (is_blank(*k->p)) k->p++;
}

static int hex_digit(char ch) {
    if (ch >= '0' && ch <= '9') return ch - '0';
    if (ch >= 'a' && ch <= 'f') return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F') return ch - 'A' + 10;
    return -1;
}

/* The byte that an escape stands for, p behind it; -1 when there is no such escape. */
static int unescape(cutter *k) {
    char kind = *++k->p;
    int hi = -1, lo = -1;
    if (kind == 'x') {
        hi = hex_digit(k->p[1]);
        lo = hi < 0 ? -1 : hex_digit(k->p[2]);
        k->p += lo < 0 ? 0 : 2;
    }
    k->p += kind != '\0';
    switch (kind) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'x':
        return lo < 0 || hi + lo == 0 ? -1 : hi * 16 + lo; /* \x00 would cut the string short */
    default:
        return -1;
    }
}

static xg_status cut_string(cutter *k, const char **out) {
    char *to = ++k->p;
    *out = to;
    while (*k->p != '"') {
        if (k->p == k->end) return cut_error(k, "a string without its closing quote");
        int ch = (unsigned char)*k->p;
        if (ch == '\\') {
            ch = unescape(k);
            if (ch < 0) return cut_error(k, "unknown escape; \\\" \\\\ \\n \\t \\xHH are known");
        } else {
            k->p++;
        }
        *to++ = (char)ch;
    }
    k->p++;
    *to = '\0';
    return XG_OK;
}

/* One atom; *sep is the character behind it, which the atom's NUL may have replaced. */
static xg_status cut_atom(cutter *k, const char **out, bool *quoted, char *sep) {
    *quoted = *k->p == '"';
    if (*quoted) {
        xg_status st = cut_string(k, out);
        if (st) return st;
    } else {
        *out = k->p;
        while (is_word(*k->p)) k->p++;
        if (k->p == *out) {
            if (k->p == k->end) return cut_error(k, "the line ends where a value is expected");
            return isprint((unsigned char)*k->p)
                       ? cut_error(k, "unexpected '%c'", *k->p)
                       : cut_error(k, "unexpected byte 0x%02x", (unsigned char)*k->p);
        }
    }
    *sep = *k->p;
    if (!*quoted) *k->p = '\0';
    return XG_OK;
}

/* Behind an atom: takes sep off its place (it may be a NUL by now), so that p stands on the next
 * thing. */
static void take(cutter *k) {
    if (k->p < k->end) k->p++;
}

static xg_status cut_list(cutter *k, xg_item *it, uint32_t *natom) {
    it->is_list = true;
    k->p++;
    skip_blanks(k);
    if (*k->p == ']') {
        k->p++;
        return XG_OK;
    }
    for (;;) {
        bool quoted;
        char sep;
        skip_blanks(k);
        xg_status st = cut_atom(k, &k->r->atoms[*natom], &quoted, &sep);
        if (st) return st;
        ++*natom;
        ++it->natom;
        while (is_blank(sep)) {
            take(k);
            sep = *k->p;
        }
        if (sep != ',' && sep != ']') return cut_error(k, "expected ',' or ']' in a list");
        take(k);
        if (sep == ']') return XG_OK;
    }
}

static xg_status cut_item(cutter *k, xg_item *it, uint32_t *natom) {
    xg_reader *r = k->r;
    *it = (xg_item){.column = (uint32_t)(k->p - k->line) + 1, .atom = r->atoms + *natom};
    char sep = '\0';
    if (*k->p != '[') {
        xg_status st = cut_atom(k, &r->atoms[*natom], &it->is_string, &sep);
        if (st) return st;
    }
    if (sep == '=' && !it->is_string) {
        it->key = r->atoms[*natom];
        take(k);
        sep = '\0';
        if (*k->p != '[') {
            xg_status st = cut_atom(k, &r->atoms[*natom], &it->is_string, &sep);
            if (st) return st;
        }
    }
    if (sep == '\0' && *k->p == '[') {
        xg_status st = cut_list(k, it, natom);
        if (st) return st;
        sep = *k->p;
    } else {
        it->natom = 1;
        ++*natom;
    }
    if (!is_blank(sep) && sep != '#' && k->p != k->end) {
        return cut_error(k, "unexpected '%c' behind a value",
                         isprint((unsigned char)sep) ? sep : '?');
    }
    if (sep == '#')
        k->end = k->p; /* the '#' itself may have become the atom's NUL */
    else if (is_blank(sep))
        take(k);
    return XG_OK;
}

static xg_status no_twins(xg_reader *r) {
    const xg_line *l = &r->line;
    xg_map seen = {.arena = r->arena};
    for (uint32_t i = 0; i < l->nitem; i++) {
        const xg_item *it = &l->item[i];
        if (!it->key) continue;
        bool twin = false;
        if (l->nitem > FEW_KEYS) {
            twin = xg_map_get(&seen, it->key) != XG_NONE;
            xg_map_set(&seen, it->key, 1);
        } else {
            for (uint32_t j = 0; j < i && !twin; j++) {
                twin = l->item[j].key && strcmp(l->item[j].key, it->key) == 0;
            }
        }
        if (twin) return xg_reader_error(r, it, "'%s=' stands twice on this line", it->key);
    }
    return XG_OK;
}

/* Room for the most items and atoms that the line can have: both are bounded by its separators. */
static void make_room(xg_reader *r, const char *p, size_t n) {
    uint32_t bound = 2;
    for (size_t i = 0; i < n; i++)
        bound += is_blank(p[i]) || p[i] == ',' || p[i] == '=' || p[i] == '[';
    if (bound <= r->cap) return;
    r->atoms = xg_newn(r->arena, const char *, bound);
    r->line.item = xg_newn(r->arena, xg_item, bound);
    r->cap = bound;
}

static xg_status cut_line(xg_reader *r, const char *p, size_t n) {
    make_room(r, p, n);
    char *copy = xg_strndup(r->arena, p, n);
    cutter k = {r, copy, copy, copy + n};
    xg_line *l = &r->line;
    uint32_t natom = 0;
    for (skip_blanks(&k); k.p < k.end && *k.p != '#'; skip_blanks(&k)) {
        xg_status st = cut_item(&k, &l->item[l->nitem], &natom);
        if (st) return st;
        l->nitem++;
    }
    const xg_item *lead = l->item;
    if (l->nitem && (lead->key || lead->is_list || lead->is_string)) {
        return xg_reader_error(r, lead, "a line begins with a plain word");
    }
    return no_twins(r);
}

xg_status xg_reader_next(xg_reader *r, bool *more) {
    r->line.nitem = 0;
    while (r->p < r->end) {
        const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
        const char *p = r->p;
        size_t n = (size_t)((nl ? nl : r->end) - p);
        r->p = nl ? nl + 1 : r->end;
        r->line.number = ++r->number;
        if (n && p[n - 1] == '\r') n--;
        if (n > INT32_MAX) return xg_reader_error(r, NULL, "a line longer than 2 GiB");
        if (memchr(p, '\0', n))
            return xg_reader_error(r, NULL, "a NUL byte: this is not a text file");
        xg_status st = cut_line(r, p, n);
        if (st) return st;
        if (r->line.nitem) {
            *more = true;
            return XG_OK;
        }
    }
    *more = false;
    return XG_OK;
}

/* ---- asking a line --------------------------------------------------------------------------- */

const xg_item *xg_line_pos(const xg_line *l, uint32_t i) {
    for (uint32_t k = 0; k < l->nitem; k++) {
        if (!l->item[k].key && i-- == 0) return &l->item[k];
    }
    return NULL;
}

const xg_item *xg_line_key(const xg_line *l, const char *key) {
    for (uint32_t k = 0; k < l->nitem; k++) {
        if (l->item[k].key && strcmp(l->item[k].key, key) == 0) return &l->item[k];
    }
    return NULL;
}

bool xg_item_is(const xg_item *it, const char *word) {
    return it && it->natom == 1 && !it->is_list && strcmp(it->atom[0], word) == 0;
}

static xg_status atom_of(xg_reader *r, const xg_item *it, uint32_t i, const char **out) {
    if (!it) return xg_reader_error(r, NULL, "a value is missing at the end of the line");
    if (i >= it->natom) {
        return xg_reader_error(r, it, "%s%sexpected at least %u values, found %u",
                               it->key ? it->key : "", it->key ? ": " : "", i + 1, it->natom);
    }
    *out = it->atom[i];
    return XG_OK;
}

xg_status xg_item_int(xg_reader *r, const xg_item *it, uint32_t i, int64_t lo, int64_t hi,
                      int64_t *out) {
    const char *s = NULL;
    xg_status st = atom_of(r, it, i, &s);
    if (st) return st;
    const char *digits = s + (*s == '-' || *s == '+');
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    char *end = NULL;
    errno = 0;
    long long v = strtoll(s, &end, hex ? 16 : 10);
    if (hex_digit(*digits) < 0 || *end) {
        return xg_reader_error(r, it, "%s%sexpected an integer, found '%.60s'",
                               it->key ? it->key : "", it->key ? ": " : "", s);
    }
    if (errno == ERANGE || v < lo || v > hi) {
        return xg_reader_error(r, it, "%s%s%.60s is outside %lld to %lld", it->key ? it->key : "",
                               it->key ? ": " : "", s, (long long)lo, (long long)hi);
    }
    *out = v;
    return XG_OK;
}

/* strtof in the C locale: exact for hexadecimal text, correctly rounded for decimal text. */
static float to_f32(const char *s, char **end) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    float f = c ? strtof_l(s, end, c) : strtof(s, end);
    if (c) freelocale(c);
    return f;
}

xg_status xg_item_f32(xg_reader *r, const xg_item *it, uint32_t i, float *out) {
    const char *s = NULL;
    xg_status st = atom_of(r, it, i, &s);
    if (st) return st;
    char *end = NULL;
    float f = to_f32(s, &end);
    bool named = strcmp(s, "inf") == 0 || strcmp(s, "-inf") == 0 || strcmp(s, "nan") == 0;
    if (end == s || *end || isspace((unsigned char)*s) || (!isfinite(f) && !named)) {
        return xg_reader_error(r, it, "%s%sexpected a binary32 number, found '%.60s'",
                               it->key ? it->key : "", it->key ? ": " : "", s);
    }
    *out = f;
    return XG_OK;
}

xg_status xg_line_int(xg_reader *r, const char *key, int64_t lo, int64_t hi, int64_t *out) {
    const xg_item *it = xg_line_key(&r->line, key);
    if (!it) return xg_reader_error(r, NULL, "'%s=' is missing on this line", key);
    if (it->is_list) return xg_reader_error(r, it, "%s: expected one integer, found a list", key);
    return xg_item_int(r, it, 0, lo, hi, out);
}

xg_status xg_line_str(xg_reader *r, const char *key, const char **out) {
    const xg_item *it = xg_line_key(&r->line, key);
    if (!it) return xg_reader_error(r, NULL, "'%s=' is missing on this line", key);
    if (it->is_list) return xg_reader_error(r, it, "%s: expected one value, found a list", key);
    *out = it->atom[0];
    return XG_OK;
}
