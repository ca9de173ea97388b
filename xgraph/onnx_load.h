/* An ONNX file -> its protobuf messages, safely and without copying weights.
 *
 * A walker over the mapped file, driven by the schema's descriptors, writes a skeleton of the
 * message: fields that are not in xgraph/onnx_subset.proto are dropped, raw_data above 4 KiB is
 * left out and its place in the file noted (payload_offset, payload_bytes). Only the skeleton is
 * parsed by protobuf-c, with a memory budget. Depth is at most 100 messages.
 */
#ifndef XG_ONNX_LOAD_H
#define XG_ONNX_LOAD_H

#include "base/base.h"
#include "xgraph/onnx_subset.pb-c.h"

typedef struct xg_onnx_file {
    const char *path;
    xg_bytes bytes;             /* the mapped file */
    const Xgonnx__Model *model; /* graph is never NULL */
} xg_onnx_file;

/* Everything lives in arena a. Errors: IO, INPUT (damaged file, with the byte offset), LIMIT. */
XG_MUST_USE xg_status xg_onnx_load(xg_arena *a, const char *path, xg_onnx_file *out);
/* The same for bytes that are in memory already; `path` is for messages. The bytes must outlive the
 * result. */
XG_MUST_USE xg_status xg_onnx_parse(xg_arena *a, const char *path, xg_bytes bytes,
                                    xg_onnx_file *out);

#endif
