/* The binary form's constants. Internal to xgraph/. Page: xgraph/README.md. */
#ifndef XG_PACK_H
#define XG_PACK_H

#include "xgraph/form.h"
#include "xgraph/xgraph.pb-c.h"

#include <limits.h>

/* First field of a file: tag 0x0d (field 1, 32 bits), then 'X' 'G' 'R' and the version. */
#define XG_PACK_TAG 0x0d
#define XG_PACK_MAGIC                                                                              \
    ((uint32_t)'X' | (uint32_t)'G' << 8 | (uint32_t)'R' << 16 | (uint32_t)XG_FORM_VERSION << 24)
/* protobuf-c refuses longer messages. */
#define XG_PACK_BYTES_MAX INT_MAX

#endif
