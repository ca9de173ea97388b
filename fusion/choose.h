/* Shared by the strategies: which nodes run where, and the candidates that a cover may be made of.
 */
#ifndef XG_CHOOSE_H
#define XG_CHOOSE_H

#include "fusion/estimate.h"
#include "fusion/flat.h"

typedef struct xg_chooser {
    xg_arena *a;
    const xg_graph *g, *flat; /* flat: of flat groups (fusion/flat.h) */
    const xg_machine *m;
    xg_selection *out;
    xg_uses uses;
    const char **refused; /* [nodes] NULL: the accelerator runs it */
    bool *taken;          /* [nodes] already in a group */
    const char *patterns; /* the user's pattern file, or NULL: the shipped library */
    xg_known *known;      /* see xg_select_options; one of its own when that is NULL */
    xg_buf *lp;           /* not NULL: gets the 0-1 program */
    bool (*admit)(void *arg, const uint32_t *node, uint32_t n); /* see xg_select_options */
    void *admit_arg;
    bool image_by_image, nothing_kept; /* see xg_select_options */
    bool flat_views;                   /* groups may be flat */
} xg_chooser;

void xg_chooser_init(xg_chooser *c, xg_arena *a, const xg_graph *g, const xg_machine *m,
                     xg_selection *out);
xg_group xg_make_group(xg_chooser *c, const uint32_t *node, uint32_t n, const char *pattern);
/* Whether flat strategies of the group are worth a look. */
bool xg_may_be_flat(const xg_chooser *c, const xg_group *g);
/* Strategy and cost for a group that runs alone, everything in DDR. */
void xg_price_group(xg_chooser *c, xg_group *g);
/* Groups in an order in which they can run, staying on one side (accelerator, host) as long as
 * possible. */
void xg_order_groups(xg_chooser *c);
/* The only reader of the node's result, when it can follow on chip; XG_NONE else. */
uint32_t xg_follower(const xg_chooser *c, uint32_t node);
/* Appends what an estimate of the group depends on, as text without NUL: operators, attributes,
 * shapes, links between its nodes, which inputs are the same tensor. Groups of one text have equal
 * parts (fusion/estimate.h) but for the tensors' numbers. */
void xg_group_signature(const xg_graph *g, const xg_group *grp, xg_buf *out);
const char *xg_ops_name(const xg_chooser *c, const uint32_t *node, uint32_t n);

/* LIMIT when no cover was found. */
XG_MUST_USE xg_status xg_select_ilp(xg_chooser *c);
/* The least-cost cover by the same candidates with every tensor between groups in DDR. */
XG_MUST_USE xg_status xg_select_path(xg_chooser *c);

#endif
