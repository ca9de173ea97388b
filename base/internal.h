/* What context and arenas know of each other; nobody outside base/ includes this.
 *
 * The context owns a list of arenas and decides whether an allocation may happen (the test hook);
 * an arena that gets no memory hands over to the context, which unwinds and does not return.
 */
#ifndef XG_BASE_INTERNAL_H
#define XG_BASE_INTERNAL_H

#include "base/base.h"

/* Counts one allocation; false when the test hook wants it to fail. */
bool xg_ctx_may_alloc(xg_ctx *c);
/* Unwinds to the innermost xg_ctx_run() with XG_NOMEM. Outside of any run there is nobody to tell:
 * aborts. */
_Noreturn void xg_ctx_no_memory(xg_ctx *c);
/* Head of the context's list of arenas. */
xg_arena **xg_ctx_arenas(xg_ctx *c);
/* As xg_arena_new(), but returns NULL when there is no memory (for a context that is being made).
 */
xg_arena *xg_arena_try(xg_ctx *c, xg_arena **list);

#endif
