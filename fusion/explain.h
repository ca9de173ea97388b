/* Why the groups are as they are: a selection, a graph and a machine -> text for people, or JSON.
 *
 * The facts come from the parts that the choice itself is made of: the pattern library, the rules
 * of patterns.h and select.h, the estimates, and the 0-1 program, which is solved again with a
 * question's candidates left out. Nothing here takes part in a compilation.
 */
#ifndef XG_EXPLAIN_H
#define XG_EXPLAIN_H

#include "fusion/estimate.h"
#include "fusion/patterns.h"

/* ---- the texts ---------------------------------------------------------------------------------
 */

typedef struct xg_explain {
    const xg_selection *sel; /* what is explained */
    const xg_machine *m;
    const char *patterns; /* as in xg_select_options */
    bool json;            /* the same facts for scripts */
    /* What the cycle simulator says of the plan of a selection; false: it has no plan. NULL: only
     * estimates are told. */
    bool (*simulate)(void *arg, const xg_selection *s, uint64_t *cycles);
    void *simulate_arg;
} xg_explain;
/* One line a group, and totals. */
XG_MUST_USE xg_status xg_explain_choice(xg_arena *a, const xg_explain *e, xg_buf *out);
/* All candidates with a node, which may be named by its name, its ONNX name or a tensor that it
 * makes: legal or why not, cost by term, how much dearer the best cover with it is. INPUT for an
 * unknown name, with near ones. */
XG_MUST_USE xg_status xg_explain_node(xg_arena *a, const xg_explain *e, const char *name,
                                      xg_buf *out);
/* "A,B": why the two are in one group, or why not. */
XG_MUST_USE xg_status xg_explain_pair(xg_arena *a, const xg_explain *e, const char *names,
                                      xg_buf *out);

/* ---- cost by term ------------------------------------------------------------------------------
 */

/* Cycles are those of the slowest core, for all its images. */
typedef struct xg_cost_terms {
    xg_estimate est;
    xg_parts parts;
    uint32_t chip_in;          /* bit k: input k of parts lies on chip */
    uint32_t chip_out, to_ddr; /* bit k: result k stays on chip, is saved */
    /* CONV: the multiply-accumulates with every lane of every core at work; channels filled up to
     * whole words; rows filled up to whole row groups, and cores with less to do than the slowest;
     * what tiles add: halos computed again, starts of instructions, partial sums. Sum: est.conv. */
    int64_t full, channels, rows, tiling;
    uint64_t ddr_busy; /* of the DDR, for all cores */
    const char *slowest;
    uint64_t slowest_cycles;
    int64_t not_hidden; /* est.cycles - slowest_cycles: filling, draining, waiting */
} xg_cost_terms;
void xg_cost_by_term(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                     const xg_surroundings *env, xg_cost_terms *out);

/* ---- room --------------------------------------------------------------------------------------
 */

/* What one tile's life takes. */
typedef struct xg_room {
    uint64_t fm_words, w_words, param_bytes; /* fm_words, w_words: in each bank */
} xg_room;
typedef struct xg_fit {
    uint32_t tried;          /* strategies */
    uint32_t fit_ddr;        /* have room with all border tensors in DDR */
    uint32_t fit;            /* ... or with those on chip that may stay there */
    uint32_t kept;           /* of fit_ddr: no other one is as fast in as little room */
    xg_room least;           /* of all strategies, each resource by itself */
    xg_room nearest;         /* of the strategy that exceeds the machine least (fit == 0) */
    xg_strategy nearest_one; /* that strategy */
    bool followed;           /* false: more tensors than the estimate can follow */
} xg_fit;
/* may_stay [tensors]. */
void xg_fit_of(xg_arena *a, const xg_graph *g, const xg_machine *m, const xg_group *grp,
               const bool *may_stay, xg_fit *out);
/* "feature maps: the smallest tile wants 5,120 words a bank, the machine has 4,096 (1,024 short)",
 * a line each; for fit->fit == 0. */
const char *xg_fit_shortage(xg_arena *a, const xg_machine *m, const xg_fit *fit);

/* ---- groups that patterns match, legal or not --------------------------------------------------
 */

typedef struct xg_near {
    uint32_t pattern, n;
    uint32_t node[XG_PATTERN_VERTICES]; /* ascending */
    const char *fault;                  /* NULL: it matches; else the one condition that fails */
} xg_near;
typedef struct xg_nears {
    XG_VEC(xg_near);
} xg_nears;
/* All node sets with `node` (and `other`, unless XG_NONE) that variants match, by structure
 * and conditions only; each set once, for its first pattern. almost: also those where one
 * condition of one vertex or edge fails, unless the set matches. Bounded by a count of steps. */
void xg_match_near(xg_arena *a, const xg_graph *g, const xg_patterns *p, uint32_t node,
                   uint32_t other, bool almost, xg_nears *out);
/* What the rules of xg_candidate forbid about a set, a line each; NULL: it is a candidate. refused
 * [nodes]: NULL or why the machine does not run it. */
const char *xg_why_no_candidate(xg_arena *a, const xg_graph *g, const char *const *refused,
                                const uint32_t *node, uint32_t n);

/* "1,234,567" */
const char *xg_grouped_digits(xg_arena *a, int64_t v);

#endif
