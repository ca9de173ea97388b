/* What the sources of the explanations share. */
#ifndef XG_EXPLAIN_INNER_H
#define XG_EXPLAIN_INNER_H

#include "fusion/explain.h"

/* A cover that the solver found, or none. */
typedef struct cover {
    bool found;
    int64_t value; /* see xg_selection */
    double bound;
    uint64_t cycles; /* predicted, all groups */
} cover;

typedef struct teller {
    xg_arena *a;
    const xg_graph *g;
    const xg_explain *e;
    xg_uses uses;
    const char **refused;   /* [nodes] why it is on the host, NULL: it is not */
    uint32_t *stretch;      /* [nodes] groups cannot cross from one stretch of a side to the next */
    uint32_t *group_of;     /* [nodes] in e->sel */
    const bool *could_stay; /* [tensors] on chip, by the solver */
    const xg_patterns *library;
    xg_candidates candidates; /* legal ones */
    cover best;
    uint64_t simulated;  /* cycles of e->sel's plan; 0: not known */
    xg_selection chosen; /* of the best cover; its groups live in a */
    xg_buf *out;
} teller;

/* explain_facts.c */
XG_MUST_USE xg_status xg_teller_init(teller *t, xg_arena *a, const xg_explain *e, xg_buf *out);
/* INPUT with near names for an unknown one. quiet: XG_NONE and no error. */
XG_MUST_USE xg_status xg_find_named(xg_ctx *c, const xg_graph *g, const char *name, bool quiet,
                                    uint32_t *node);
/* The best cover of those candidates that admit accepts (NULL: all). sel may be NULL. */
typedef bool (*xg_admit)(void *arg, const uint32_t *node, uint32_t n);
XG_MUST_USE xg_status xg_solve_cover(const teller *t, xg_arena *a, xg_admit admit, void *arg,
                                     xg_selection *sel, cover *out);
/* Cycles of a selection's plan by the cycle simulator; 0: not known. */
uint64_t xg_simulated(const teller *t, const xg_selection *s);
/* What surrounds the groups of a selection. */
xg_surroundings xg_surroundings_of(xg_arena *a, const xg_selection *sel, const xg_machine *m);

/* A group that patterns match. */
typedef struct xg_entry {
    const char *pattern;
    uint32_t n;
    const uint32_t *node;
    const char *why; /* it cannot be, lines; NULL: it can */
    xg_fit fit;
    cover cover;        /* the best one with it */
    uint64_t simulated; /* cycles of that cover's plan; 0: not known */
    uint64_t swapped;   /* of what is built with only this group changed; 0: not known */
    bool in_best;
    xg_group group; /* in that cover */
    xg_cost_terms terms;
} xg_entry;

typedef struct xg_entries {
    XG_VEC(xg_entry);
} xg_entries;
/* explain_entries.c. other: XG_NONE, or a node that is in the groups too. */
void xg_collect_entries(const teller *t, uint32_t node, uint32_t other, xg_entries *all);
/* Fills in the rest, and sorts: those in the best cover, then by cost, then the impossible ones. */
XG_MUST_USE xg_status xg_judge_entries(const teller *t, xg_entries *all);
bool xg_has_node(const uint32_t *node, uint32_t n, uint32_t x);

/* explain_swap.c: cycles of the program that is built, by the cycle simulator, with this group put
 * in, and with the two nodes of a group parted; other groups are as they are, their pieces where
 * the change takes nodes from them. 0: not known. */
uint64_t xg_swap_in(const teller *t, const uint32_t *node, uint32_t n);
uint64_t xg_swap_apart(const teller *t, const uint32_t pair[2]);

/* explain_node.c */
void xg_put_chosen(const teller *t, uint32_t node);
void xg_put_entries(teller *t, const xg_entries *all);
/* Simulated cycles beside those of what is chosen, in words. */
const char *xg_beside_built(const teller *t, uint64_t cycles);
/* What a cover costs more than the best one, in words. */
const char *xg_dearer(const teller *t, const cover *x);

/* explain_json.c: what explain.c, explain_node.c and explain_pair.c print, as JSON. */
void xg_json_choice(xg_arena *a, const xg_explain *e, xg_buf *out);
void xg_json_node(const teller *t, uint32_t node, const xg_entries *all);
/* relation: how the two are tied, in words; near: what almost matches, when nothing does; apart:
 * the best cover with the two in different groups; parted: see xg_swap_apart. */
void xg_json_pair(const teller *t, const uint32_t pair[2], const char *relation,
                  const xg_entries *all, const xg_nears *near, const cover *apart, uint64_t parted);

/* explain_text.c */
const char *xg_node_names(xg_arena *a, const xg_graph *g, const uint32_t *node, uint32_t n);
/* "3x3 Conv, 56 x 56 x 64 -> 28 x 28 x 128" */
const char *xg_node_text(xg_arena *a, const xg_graph *g, uint32_t node);
/* "tile 8 x 28 x 64 of 56 x 56 x 64, 14 of them; maps stay, weights pass; an image a core" */
const char *xg_strategy_text(const teller *t, const xg_group *grp, const xg_parts *p);
/* Lines of terms, each with the indent before it. */
void xg_put_terms(teller *t, const xg_cost_terms *c, const char *indent);
/* Each line of a text with the indent before it. */
void xg_put_lines(xg_buf *out, const char *indent, const char *text);
/* What stands in place of a strategy for a concat, reshape or slice with its forecast. */
const char *xg_places_text(const xg_group *grp);
bool xg_group_tiles(const xg_graph *g, const xg_group *grp);

#endif
