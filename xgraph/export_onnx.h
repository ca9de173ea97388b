/* Writing ONNX: nodes, attributes and constants of a model under construction, and the two forms in
 * which a tensor may exist there. XGraph's spatial operators are NHWC, ONNX's NCHW: a tensor of
 * rank 4 has a plain form (its axes as in XGraph, its own name) and a channels-first form
 * ("name::nchw"); whichever a node asks for is made by a Transpose when only the other exists.
 * Tensors of other ranks have the plain form only. Internal to xgraph/.
 */
#ifndef XG_EXPORT_ONNX_H
#define XG_EXPORT_ONNX_H

#include "xgraph/onnx_subset.pb-c.h"
#include "xgraph/xgraph.h"

typedef enum xg_form { XG_PLAIN, XG_NCHW } xg_form;

typedef struct xg_export {
    xg_ctx *ctx;
    xg_arena *arena;
    const xg_graph *g;
    XG_VEC(Xgonnx__Node *) node;
    XG_VEC(Xgonnx__Tensor *) constant;
    char **name[2];     /* [form][tensor], NULL: does not exist yet */
    char **scale, **zp; /* [tensor]: constants of its quant, NULL: not written yet */
    xg_map taken;       /* all names given */
    int opset;          /* of ai.onnx: 13, or 21 for 16-bit activations */
} xg_export;

/* A name that nothing has yet: base, or base with a number. */
char *xg_ex_fresh(xg_export *e, const char *base);
/* A node; attributes are added to it. Names of inputs ("" = absent) and outputs are not copied.
 * domain "" or "com.microsoft". */
Xgonnx__Node *xg_ex_node(xg_export *e, const char *domain, const char *op, const char *name,
                         char *const *in, uint32_t nin, char *out);
void xg_ex_int(xg_export *e, Xgonnx__Node *n, const char *name, int64_t v);
void xg_ex_float(xg_export *e, Xgonnx__Node *n, const char *name, float v);
void xg_ex_ints(xg_export *e, Xgonnx__Node *n, const char *name, const int64_t *v, uint32_t count);
/* The axes of a reduction: an attribute, and from opset 18 on an input. */
void xg_ex_axes(xg_export *e, Xgonnx__Node *n, const int64_t *v, uint32_t count);
/* An initialiser; returns its name. Data is not copied. */
char *xg_ex_const(xg_export *e, const char *base, xg_dtype t, uint32_t rank, const int64_t *dim,
                  const void *data);
char *xg_ex_const_i64(xg_export *e, const char *base, const int64_t *v, uint32_t count);
char *xg_ex_scalar(xg_export *e, const char *base, xg_dtype t, int64_t v); /* integer types */

int32_t xg_ex_type(xg_dtype t); /* ONNX's number of an element type */
/* The form that a node over these tensors works in: channels first when all have rank 4. */
xg_form xg_ex_common_form(const xg_export *e, const xg_node *n);
/* Name of the tensor in that form, for reading. Constants are written permuted. */
char *xg_ex_read(xg_export *e, uint32_t tensor, xg_form form);
/* Name under which a node shall write the tensor in that form; now it exists. */
char *xg_ex_write(xg_export *e, uint32_t tensor, xg_form form);
/* Constants with the tensor's scale and zero point. */
char *xg_ex_scale(xg_export *e, uint32_t tensor);
char *xg_ex_zp(xg_export *e, uint32_t tensor);
/* Where axis `axis` of a plain tensor is in that form. */
int64_t xg_ex_axis(xg_form form, int64_t axis);

/* A model around the nodes. Inputs exist in the plain form, under their own names. */
void xg_ex_init(xg_export *e, xg_ctx *c, xg_arena *a, const xg_graph *g);
void xg_ex_write_inputs(xg_export *e, Xgonnx__Graph *to);
Xgonnx__ValueInfo *xg_ex_value_info(xg_export *e, const xg_tensor *t);
/* Puts nodes and constants into the graph and writes the model: e->opset, and com.microsoft 1 when
 * asked. LIMIT above 2 GiB. */
XG_MUST_USE xg_status xg_ex_pack(xg_export *e, Xgonnx__Graph *graph, bool microsoft, xg_buf *out);

/* Writes one node of the graph, as one or several ONNX nodes. UNSUPPORTED names what has no
 * counterpart. */
XG_MUST_USE xg_status xg_export_node(xg_export *e, const xg_node *n);
/* The less common float operators (export_more.c): from float names to a float name; false when the
 * operator is none of them. Of Resize only in[0] is read. */
bool xg_export_has_more(uint16_t op);
bool xg_export_more(xg_export *e, const xg_node *n, char **in, uint32_t nin, char *out);
/* ArgMax, ArgMin of any type. */
XG_MUST_USE xg_status xg_export_arg(xg_export *e, const xg_node *n);

#endif
