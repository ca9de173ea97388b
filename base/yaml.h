/* YAML text + a schema in rows -> a C struct, checked: unknown, missing, doubled and impossible
 * fields are refused with file, line, column and the field's path ("tile.pp").
 *
 * libcyaml checks the structure and fills the struct. What it lets through (numbers with a tail,
 * any word as a boolean) and what it cannot place (positions of values that fail a later check) is
 * covered by an index of all fields that is made first. Aliases, several documents, nesting over 16
 * and texts over 1 MiB are refused.
 */
#ifndef XG_YAML_H
#define XG_YAML_H

#include "base/base.h"

typedef enum xg_yaml_kind {
    XG_YAML_INT,  /* int64_t member in [lo, hi]; decimal or 0x */
    XG_YAML_BOOL, /* bool member; true or false */
    XG_YAML_WORD, /* int32_t member: index in words */
    XG_YAML_TEXT, /* const char * member, at most hi bytes; lives as long as the arena */
    XG_YAML_MAP,  /* a struct at offset */
    XG_YAML_LIST, /* pointer member + uint32_t count at count_offset; lo..hi entries; structs, or
                     texts when map is NULL */
} xg_yaml_kind;

struct xg_yaml_map;
typedef struct xg_yaml_field {
    const char *key; /* NULL ends the table */
    xg_yaml_kind kind;
    bool optional; /* absent: the member is zero; ask xg_yaml_has() */
    uint32_t offset, count_offset;
    int64_t lo, hi;
    const char *const *words; /* ends with NULL */
    const struct xg_yaml_map *map;
} xg_yaml_field;
typedef struct xg_yaml_map {
    const xg_yaml_field *field;
    size_t size; /* of the struct */
} xg_yaml_map;

typedef struct xg_yaml xg_yaml; /* where each field stands in the text */

/* Fills *out (top->size bytes). Texts and lists live in the arena's lifetime. The index is for
 * later checks. */
XG_MUST_USE xg_status xg_yaml_load(xg_arena *a, const char *path, const void *text, size_t n,
                                   const xg_yaml_map *top, void *out, xg_yaml **index);
/* True when the text has this field. */
bool xg_yaml_has(const xg_yaml *y, const char *field);
/* An error at a field's value: "file:line:column: field 'tile.pp': ...". An unknown field gives
 * just the file. */
xg_status xg_yaml_error(const xg_yaml *y, xg_status st, const char *field, const char *fmt, ...)
    XG_PRINTF(4, 5);
/* A TEXT field that holds a decimal number ("51.7"), times scale, rounded to nearest; in [lo, hi]
 * after scaling. At most nine digits after the point. No locale, no floating point. */
XG_MUST_USE xg_status xg_yaml_decimal(const xg_yaml *y, const char *field, int64_t scale,
                                      int64_t lo, int64_t hi, int64_t *out);
/* n / scale as exact or nine-digit decimal text; reads back to n when scale <= 10^9. */
void xg_yaml_put_decimal(xg_buf *b, int64_t n, int64_t scale);

#endif
