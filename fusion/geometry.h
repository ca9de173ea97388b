/* Geometry of tiles: which slice of an input a slice of an output needs, and what room slices take
 * on chip. Shared by the choice of strategies and by the tile generator, so that both see the same
 * numbers. */
#ifndef XG_GEOMETRY_H
#define XG_GEOMETRY_H

#include "isa/machine.h"
#include "xgraph/xgraph.h"

/* Rows [h0,h1), columns [w0,w1), channels [c0,c1) of image n. */
typedef struct xg_slice {
    uint32_t n, h0, h1, w0, w1, c0, c1;
} xg_slice;

/* Shape as N, H, W, C: lower ranks get ones ([N,C] -> N,1,1,C; [N,W,C] -> N,1,W,C). */
static inline void xg_dims4(const xg_tensor *t, int64_t d[4]) {
    const int64_t *x = t->dim;
    d[0] = t->rank > 1 ? x[0] : 1;
    d[1] = t->rank > 3 ? x[1] : 1;
    d[2] = t->rank > 3 ? x[2] : t->rank == 3 ? x[1] : 1;
    d[3] = t->rank > 3 ? x[3] : t->rank ? x[t->rank - 1] : 1;
}
xg_slice xg_slice_whole(const xg_tensor *t, uint32_t image);
bool xg_slice_equal(const xg_slice *a, const xg_slice *b);
void xg_slice_unite(xg_slice *a, const xg_slice *b);

typedef enum xg_tile_kind {
    XG_TK_CONV, /* CONV engine */
    XG_TK_DW,   /* depthwise on MISC */
    XG_TK_POOL,
    XG_TK_ELEW,
    XG_TK_LUT,    /* Lut, Clip on integers */
    XG_TK_CONCAT, /* addressing, or copies where a place cannot be shared */
    XG_TK_VIEW,   /* Reshape, Slice: addressing only */
    XG_TK_NONE    /* not on the accelerator */
} xg_tile_kind;
xg_tile_kind xg_node_tile_kind(const xg_graph *g, const xg_node *n);

/* The slice of input `operand` that output slice `out` of node n needs (clipped to the input's
 * shape). For a convolution all input channels of the groups that `out` touches. */
xg_slice xg_need(const xg_graph *g, const xg_node *n, uint32_t operand, const xg_slice *out);

/* The same slice of a concat's operand in the coordinates of its result. */
xg_slice xg_concat_slice(const xg_graph *g, const xg_node *concat, uint32_t operand, xg_slice s);
/* Input channel words [lo, hi) that output channels [c0, c1) of a convolution read (grouped ones:
 * their groups only). */
void xg_conv_channel_words(const xg_graph *g, const xg_node *n, uint32_t icp, uint32_t c0,
                           uint32_t c1, uint32_t *lo, uint32_t *hi);

/* Words that a slice takes in each feature-map bank, with rows interleaved by il. */
uint32_t xg_fm_words(const xg_machine *m, const xg_slice *s, uint32_t il);
/* The interleave with which node n wants its operand: the vertical stride of windows, as far as the
 * encoding can name it, else 1. */
uint32_t xg_node_interleave(const xg_graph *g, const xg_machine *m, const xg_node *n);
/* The interleave that suits a staying tensor: the one its readers agree on, else 1. */
uint32_t xg_staying_interleave(const xg_graph *g, const xg_machine *m, uint32_t tensor);
/* Bytes of one output channel's parameter record. */
uint32_t xg_param_record(const xg_machine *m);
/* The operand over which node k of a group (nodes in order) may write its result, or -1: an
 * element-wise or table node, whose operand was made inside the group, has the result's shape and
 * no other reader. */
int xg_in_place(const xg_graph *g, const uint32_t *node, uint32_t nnode, uint32_t k);
/* Under a strategy that keeps: whether rows of a tensor that nodes of a group read are held from
 * row tile to row tile, so that each is made, or loaded, once: the windows of two tiles overlap,
 * several nodes read it, or all tiles read its only row. */
bool xg_rows_kept(const xg_graph *g, const uint32_t *node, uint32_t nnode, uint32_t tensor);
/* Whether some tensor of the group is kept: one made inside (true), one read from outside. */
bool xg_group_keeps(const xg_graph *g, const uint32_t *node, uint32_t nnode, bool inside);
/* Rows of a ring that holds `rows` rows of a tensor that has `all`: whole row slots in every bank;
 * 0 when all of them have room there. */
uint32_t xg_ring_rows(const xg_machine *m, uint32_t rows, uint32_t all, uint32_t il);
/* True when a convolution's kernel columns may become channels while its input is loaded (channel
 * augmentation): pixel x of the view then holds columns x * sw - pl + j, j < kw, of C channels
 * each, and the kernel is kh x 1. */
bool xg_may_fold(const xg_graph *g, const xg_machine *m, uint32_t node);
/* The folded view of a convolution's input for output columns [w0, w1): rows as given, columns of
 * the output, kw * C channels. */
xg_slice xg_folded(const xg_graph *g, const xg_node *n, xg_slice rows, uint32_t w0, uint32_t w1);
/* Words for each pixel of a partial sum. */
uint32_t xg_psum_words(const xg_machine *m);

#endif
