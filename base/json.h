/* A writer of JSON into a text buffer: commas and nesting are its business. Indented by two. */
#ifndef XG_JSON_H
#define XG_JSON_H

#include "base/base.h"

typedef struct xg_json {
    xg_buf *out;
    uint32_t depth;
    bool first, after_key;
} xg_json;
void xg_json_init(xg_json *j, xg_buf *out);
void xg_json_open(xg_json *j, char bracket);  /* '{' or '[' */
void xg_json_close(xg_json *j, char bracket); /* '}' or ']' */
void xg_json_key(xg_json *j, const char *key);
void xg_json_str(xg_json *j, const char *s);
void xg_json_int(xg_json *j, int64_t v);
void xg_json_num(xg_json *j, double v); /* %.9g; NaN and infinities become null */
void xg_json_bool(xg_json *j, bool v);
/* key + value in one call */
void xg_json_kstr(xg_json *j, const char *key, const char *s);
void xg_json_kint(xg_json *j, const char *key, int64_t v);
void xg_json_knum(xg_json *j, const char *key, double v);
void xg_json_kbool(xg_json *j, const char *key, bool v);

#endif
