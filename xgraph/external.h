/* External tensor data: files beside the model, mapped read-only, never outside the model's folder.
 */
#ifndef XG_EXTERNAL_H
#define XG_EXTERNAL_H

#include "base/base.h"

/* Opens `location` (relative, '/'-separated, no "..", no links) below the folder of model_path,
 * component by component, and maps bytes [offset, offset + length); length < 0: to the end. Valid
 * while the arena lives. `where` names the tensor in messages. Errors: INPUT for a bad name or
 * range, IO for the operating system's refusal. */
XG_MUST_USE xg_status xg_external_map(xg_arena *a, const char *model_path, const char *where,
                                      const char *location, int64_t offset, int64_t length,
                                      xg_bytes *out);

#endif
