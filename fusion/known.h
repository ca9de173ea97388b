/* What several choices over one graph and machine share: the pattern library, what it matches, and
 * the estimates of each group that differs from others. "ilp" sets up four programs and more over
 * the same candidates. */
#ifndef XG_KNOWN_H
#define XG_KNOWN_H

#include "fusion/estimate.h"
#include "fusion/patterns.h"

/* As xg_match() with k's library; what was found before is given again. */
XG_MUST_USE xg_status xg_known_match(xg_known *k, const xg_graph *g, const bool *accel,
                                     const xg_candidates **out);
/* Calls fn for every strategy of xg_each_strategy() with its parts (xg_estimate_parts()); of those
 * that are not valid nothing else is set.
 * signature: the group's (fusion/choose.h); a group whose signature was seen before gets the same
 * parts, with its own tensors' numbers. */
void xg_known_each(xg_known *k, const xg_graph *g, const xg_machine *m, const xg_group *grp,
                   const char *signature,
                   void (*fn)(void *arg, const xg_strategy *s, const xg_parts *p), void *arg);
/* As xg_best_strategy() without surroundings; equal groups are searched once. */
bool xg_known_best(xg_known *k, const xg_graph *g, const xg_machine *m, const xg_group *grp,
                   xg_strategy *best, xg_estimate *cost);

#endif
