/* What the sources of the checker share: the state of one check, and of one input set in it. */
#ifndef XG_CHECK_INNER_H
#define XG_CHECK_INNER_H

#include "validate/check.h"

typedef struct xg_watch {
    xg_arena *arena; /* of the result */
    const xg_machine *machine;
    const xg_graph *reference;
    const xg_program *program;
    xg_check_result *result;
    uint32_t *ref_tensor; /* [program tensors] in the reference graph, XG_NONE = absent */
    uint32_t *host_input, *host_output; /* the model's inputs and outputs in the host graph */
    uint32_t *order;                    /* [map] rows sorted by segment, core, last */
    uint32_t *start;                    /* [segments * cores + 1] into order */
    uint32_t cores;
    uint8_t **covered; /* [program tensors][elements] 1: compared in this input set */
    bool *on_chip;     /* [program tensors] some piece was compared on chip only */
    bool *group_wrong; /* [groups] */
    /* of the present input set */
    const char *input;
    xg_exec *exec;
    xg_values *values; /* the reference's */
    uint32_t step, segment;
    uint32_t *cursor; /* [cores] next row in order */
    bool *done;       /* [map] row was compared */
    uint64_t wrong;   /* pieces that differed */
} xg_watch;

/* The hook of the functional run: compares what has just become final. */
xg_status xg_watch_hook(void *arg, xg_sim *s, uint32_t core, uint32_t index, const xg_inst *in);
/* Marks all elements of a program tensor as compared; counts the marked ones. */
void xg_watch_cover(xg_watch *w, uint32_t tensor);
uint64_t xg_watch_covered(const xg_watch *w, uint32_t tensor);
/* Whole tensors that an accelerator step hands back, or that a host step has made. */
void xg_watch_written(xg_watch *w, const xg_step *s);
void xg_watch_host(xg_watch *w, const xg_step *s);

/* The last instruction before `limit` of a core's stream that wrote the byte at `offset` of memory
 * `mem` (0: DDR region `region`); XG_NONE when none did. Candidates come from family->access; where
 * words are written in part, the instruction is executed on a copy to see whether it touches the
 * byte. */
uint32_t xg_find_writer(xg_arena *scratch, const xg_machine *m, const xg_sim *s,
                        const xg_stream *st, uint32_t core, uint8_t mem, uint8_t region,
                        uint64_t offset, uint32_t limit);
/* Fills has_inst and the fields behind it. */
void xg_describe_inst(xg_arena *a, const xg_machine *m, const xg_stream *st, uint32_t index,
                      xg_divergence *d);

#endif
