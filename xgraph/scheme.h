/* A model that comes quantised states how integers are requantised; a machine has its own way.
 * Where the two are not the same, both are run side by side: how far apart are they?
 *
 * The model as it states itself runs under profile ort (QDQ, QLinear*), or, when only a pass that
 * is not exact could read it (integerised and dynamically quantised exports), as imported. */
#ifndef XG_SCHEME_H
#define XG_SCHEME_H

#include "xgraph/import.h"

typedef struct xg_scheme {
    const char *stated, *machine; /* the two ways in words; stated NULL: they are the same, or the
                                     model was float */
    bool measured;                /* else only the two texts are set */
    bool calibration;             /* measured on the calibration inputs; else on random ones */
    uint64_t sets;
    uint32_t differ, layers; /* integer layers, and those of them of which some element differs */
    const char *output;      /* that differs most, in steps; NULL: there are none to compare */
    double steps, most;      /* largest difference of its elements: in steps of its scale (0: it has
                                none), in real units */
    double cosine;           /* least of all outputs' */
    const char *layer;       /* with the largest difference in steps; NULL: none differs */
    double layer_steps, layer_most;
} xg_scheme;

/* path, o, record, r and quant: of the xg_front_full() that made r. Measures only when one run
 * takes at most most_macs multiply-accumulates. Texts live in a or in r. */
XG_MUST_USE xg_status xg_scheme_compare(xg_arena *a, const char *path, const xg_front_options *o,
                                        const xg_rqrec *record, const xg_front_result *r,
                                        const xg_quant_report *quant, uint64_t most_macs,
                                        xg_scheme *out);
/* One line without its end; NULL when stated is NULL. */
const char *xg_scheme_text(xg_arena *a, const xg_scheme *s);

#endif
