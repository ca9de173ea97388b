/* Text files that the build puts into the program: shipped machines, encodings, patterns. */
#ifndef XG_EMBED_H
#define XG_EMBED_H

#include <stddef.h>

typedef struct xg_embedded {
    const char *name; /* file name without folder and ending; NULL ends a table */
    const char *text;
    size_t n;
} xg_embedded;

extern const xg_embedded xg_embedded_machines[];
extern const xg_embedded xg_embedded_encodings[];
extern const xg_embedded xg_embedded_patterns[];

#endif
