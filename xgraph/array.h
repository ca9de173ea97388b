/* The three forms in which users give arrays, each in a file of its own. Internal to xgraph/; the
 * door is interp.h.
 *
 * A parser gets the bytes of one file (or member), which stay valid as long as the arena, and gives
 * one array, whose data is in the arena: dense, row-major, host byte order, aligned. `where` names
 * the file (and member) in messages.
 */
#ifndef XG_ARRAY_H
#define XG_ARRAY_H

#include "xgraph/interp.h"

enum { XG_ARRAY_ELEMS_MAX = INT32_MAX };

/* numpy's .npy, versions 1 to 3: "\x93NUMPY", version, header length, a Python dictionary in ASCII,
 * the elements. */
XG_MUST_USE xg_status xg_array_parse_npy(xg_arena *a, const char *where, xg_bytes file,
                                         xg_array *out);
/* A zip file of .npy files, stored or deflated; names without the ending. */
XG_MUST_USE xg_status xg_array_parse_npz(xg_arena *a, const char *where, xg_bytes file,
                                         xg_array **out, uint32_t *n);
/* ONNX TensorProto. */
XG_MUST_USE xg_status xg_array_parse_pb(xg_arena *a, const char *where, xg_bytes file,
                                        xg_array *out);

/* How elements are stored in a file, little endian. */
typedef struct xg_element {
    xg_dtype dtype; /* in memory */
    uint8_t bytes;  /* in the file */
    bool f64;       /* to be rounded to f32 */
    bool f16;       /* to be widened to f32 */
} xg_element;
/* Copies n elements from unaligned file bytes; dst holds n elements of e.dtype. */
void xg_element_copy(xg_element e, const uint8_t *src, void *dst, int64_t n);
/* Sets the shape; INPUT when a dimension is negative, LIMIT when there are more than
 * XG_ARRAY_ELEMS_MAX elements. */
XG_MUST_USE xg_status xg_array_shape(xg_arena *a, const char *where, xg_array *v, uint32_t rank,
                                     const int64_t *dim, int64_t *elems);
uint32_t xg_le32(const uint8_t *p);
uint16_t xg_le16(const uint8_t *p);

#endif
