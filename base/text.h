/* The one line grammar of all xgc text forms (.xg, .sel, .plan, .xs, calibration tables).
 *
 *   line  = word { item } ["#" comment] | "" | "#" comment
 *   item  = value | key "=" value
 *   value = atom | "[" [ atom { "," atom } ] "]"
 *   atom  = integer | hexadecimal float | word | "quoted string"
 *
 * A word may hold letters, digits and _ . : / @ + - < > * % $ ~ |. Blanks separate items. A reader
 * walks lines; values stay text until asked for, and errors name file, line and column. A key
 * stands at most once on a line. Strings know the escapes \" \\ \n \t \xHH (not \x00). Numbers:
 * -12, 0x1f, 0x1.8p-3, 0.375, inf, nan.
 */
#ifndef XG_TEXT_H
#define XG_TEXT_H

#include "base/base.h"

typedef struct xg_item {
    const char *key;   /* NULL for a positional atom */
    const char **atom; /* natom >= 0 atoms; a plain value has one */
    uint32_t natom;
    bool is_list;    /* was written in brackets */
    bool is_string;  /* single atom that was quoted */
    uint32_t column; /* 1-based */
} xg_item;

typedef struct xg_line {
    uint32_t number; /* 1-based */
    uint32_t nitem;
    xg_item *item; /* item[0] is the leading word, positional */
} xg_line;

typedef struct xg_reader {
    xg_arena *arena;
    const char *path; /* for messages */
    const char *p, *end;
    uint32_t number;
    xg_line line; /* items and their lists are valid until the next line; the text of atoms as long
                     as the arena */
    const char **atoms; /* of this line */
    uint32_t cap;       /* items and atoms there is room for */
} xg_reader;

void xg_reader_init(xg_reader *r, xg_arena *a, const char *path, const char *text, size_t n);
/* Reads the next non-empty line into r->line; sets *more to false at the end. */
XG_MUST_USE xg_status xg_reader_next(xg_reader *r, bool *more);
/* An INPUT error at the current line (and column, when item is not NULL). */
xg_status xg_reader_error(xg_reader *r, const xg_item *item, const char *fmt, ...) XG_PRINTF(3, 4);
/* The positional item number i (0 = leading word), or NULL. */
const xg_item *xg_line_pos(const xg_line *l, uint32_t i);
/* The value with this key, or NULL. */
const xg_item *xg_line_key(const xg_line *l, const char *key);
/* True when item i's single atom equals word. */
bool xg_item_is(const xg_item *it, const char *word);
/* Conversions with range and syntax checks; atom index i. */
XG_MUST_USE xg_status xg_item_int(xg_reader *r, const xg_item *it, uint32_t i, int64_t lo,
                                  int64_t hi, int64_t *out);
XG_MUST_USE xg_status xg_item_f32(xg_reader *r, const xg_item *it, uint32_t i, float *out);
/* Required key as integer in [lo, hi]; a missing key is an error that names it. */
XG_MUST_USE xg_status xg_line_int(xg_reader *r, const char *key, int64_t lo, int64_t hi,
                                  int64_t *out);
/* Required key as string. */
XG_MUST_USE xg_status xg_line_str(xg_reader *r, const char *key, const char **out);

#endif
