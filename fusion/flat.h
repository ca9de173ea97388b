/* Flat views: a map seen as other rows and columns than its own, by groups that do not care.
 *
 * PP rows of the array work at once, so a map of 14 rows leaves two rows of 16 idle where PP is 8.
 * A group whose nodes are all pointwise (1x1 convolutions of stride 1 without padding, element-wise
 * nodes, tables) takes every pixel for itself, and in DDR the pixels of a map lie one behind the
 * other. So it may take H x W pixels as `rows` rows of `cols` pixels; the last row may be short.
 * Under a strategy with `flat` all slices of a group count in such rows and columns.
 *
 *     13 x 13, PP = 8:   16 rows of 11 pixels, the last one of 4:  22 column steps instead of 26
 * 14
 *
 * Views depend on H, W and the machine only, so groups agree on that of a tensor between them.
 */
#ifndef XG_FLAT_H
#define XG_FLAT_H

#include "fusion/geometry.h"
#include "fusion/select.h"

typedef struct xg_flat {
    uint32_t rows, cols;
    uint32_t last;  /* pixels of the last row: 1 .. cols */
    uint64_t steps; /* column steps of the array for the whole map, starts of instructions too, in
                       1/16; of the map's own rows: xg_flat_own() */
} xg_flat;
xg_flat xg_flat_of(const xg_machine *m, int64_t h, int64_t w);
/* The map in its own rows and columns, in the same terms. */
xg_flat xg_flat_own(const xg_machine *m, int64_t h, int64_t w);

/* The same graph (nodes and data are shared) whose maps have the rows and columns of their flat
 * views: what groups under a flat strategy are cut by. In the arena. */
const xg_graph *xg_flat_graph(xg_arena *a, const xg_graph *g, const xg_machine *m);
/* The graph that a group under the strategy is cut by. */
static inline const xg_graph *xg_seen_by(const xg_graph *own, const xg_graph *flat,
                                         const xg_strategy *s) {
    return s->flat ? flat : own;
}

/* NULL when the group may be flat, else why not: every node is pointwise on maps of one size, and
 * the pixels of all its borders lie one behind the other in DDR (a concat along columns, or a slice
 * of rows or columns, leaves gaps). Host inputs and outputs are dense. */
const char *xg_flat_refuses(const xg_graph *g, const xg_uses *uses, const xg_group *grp);
/* Whether the array needs at least a fiftieth less time for the group's map when it is flat. */
bool xg_flat_pays(const xg_graph *g, const xg_machine *m, const xg_group *grp);

/* xg_group_dims() in the rows and columns by which the group is cut. */
void xg_group_view(const xg_graph *g, const xg_machine *m, const xg_group *grp, int64_t d[4]);

#endif
