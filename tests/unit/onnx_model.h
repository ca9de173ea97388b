/* Small ONNX models made in tests: nodes, constants, one or more inputs, written to a file that is
 * removed again. Include after xg_test.h. */
#ifndef ONNX_MODEL_H
#define ONNX_MODEL_H

#include "xgraph/import.h"
#include "xgraph/onnx_subset.pb-c.h"

#include "xg_test.h"

enum { ONNX_F32 = 1, ONNX_U8 = 2, ONNX_I8 = 3, ONNX_I32 = 6, ONNX_I64 = 7, MODEL_MAX = 64 };

typedef struct model {
    xg_test *t;
    Xgonnx__Graph graph;
    Xgonnx__Node *node[MODEL_MAX];
    Xgonnx__Tensor *constant[MODEL_MAX];
    Xgonnx__ValueInfo *input[MODEL_MAX], *output[MODEL_MAX];
    int64_t opset;
} model;

static inline model model_new(void **state, int64_t opset) {
    model m = {.t = *state, .opset = opset};
    xgonnx__graph__init(&m.graph);
    m.graph.name = (char *)(uintptr_t) "test";
    return m;
}

static inline char *keep(model *m, const char *s) {
    return xg_strdup(m->t->a, s);
}

static inline void m_input(model *m, const char *name, int type, uint32_t rank,
                           const int64_t *dim) {
    xg_arena *a = m->t->a;
    Xgonnx__ValueInfo *v = xg_new(a, Xgonnx__ValueInfo);
    xgonnx__value_info__init(v);
    v->name = keep(m, name);
    v->type = xg_new(a, Xgonnx__Type);
    xgonnx__type__init(v->type);
    Xgonnx__TensorType *t = v->type->tensor_type = xg_new(a, Xgonnx__TensorType);
    xgonnx__tensor_type__init(t);
    t->has_elem_type = true;
    t->elem_type = type;
    t->shape = xg_new(a, Xgonnx__TensorShape);
    xgonnx__tensor_shape__init(t->shape);
    t->shape->n_dim = rank;
    t->shape->dim = xg_newn(a, Xgonnx__Dimension *, rank);
    for (uint32_t i = 0; i < rank; i++) {
        t->shape->dim[i] = xg_new(a, Xgonnx__Dimension);
        xgonnx__dimension__init(t->shape->dim[i]);
        t->shape->dim[i]->has_dim_value = true;
        t->shape->dim[i]->dim_value = dim[i];
    }
    m->input[m->graph.n_input++] = v;
}

static inline void m_output(model *m, const char *name) {
    Xgonnx__ValueInfo *v = xg_new(m->t->a, Xgonnx__ValueInfo);
    xgonnx__value_info__init(v);
    v->name = keep(m, name);
    m->output[m->graph.n_output++] = v;
}

/* data is copied by the model's writer; it must live until then. */
static inline void m_constant(model *m, const char *name, int type, uint32_t rank,
                              const int64_t *dim, const void *data) {
    static const size_t bytes[] = {0, 4, 1, 1, 2, 2, 4, 8};
    bool nibbles = type > 20; /* uint4, int4: two a byte */
    Xgonnx__Tensor *t = xg_new(m->t->a, Xgonnx__Tensor);
    xgonnx__tensor__init(t);
    size_t n = nibbles ? 1 : bytes[type];
    for (uint32_t i = 0; i < rank; i++) n *= (size_t)dim[i];
    if (nibbles) n = (n + 1) / 2;
    t->name = keep(m, name);
    t->n_dims = rank;
    t->dims = xg_memdup(m->t->a, dim, rank * sizeof *dim);
    t->has_data_type = t->has_raw_data = true;
    t->data_type = type;
    t->raw_data.data = xg_memdup(m->t->a, data, n);
    t->raw_data.len = n;
    m->constant[m->graph.n_initializer++] = t;
}

static inline void m_scalar(model *m, const char *name, float v) {
    m_constant(m, name, ONNX_F32, 0, NULL, &v);
}

/* "Op a,b -> y": a node with these inputs ("" absent) and one output (or several, by commas). */
static inline Xgonnx__Node *m_node(model *m, const char *op, const char *in, const char *out) {
    xg_arena *a = m->t->a;
    Xgonnx__Node *n = xg_new(a, Xgonnx__Node);
    xgonnx__node__init(n);
    n->op_type = keep(m, op);
    n->name = xg_strf(a, "n_%s", out);
    n->input = xg_newn(a, char *, 16);
    n->output = xg_newn(a, char *, 4);
    for (int side = 0; side < 2; side++) {
        char *rest = keep(m, side ? out : in), *comma;
        char **list = side ? n->output : n->input;
        size_t *count = side ? &n->n_output : &n->n_input;
        do {
            comma = strchr(rest, ',');
            if (comma) *comma = 0;
            list[(*count)++] = rest;
            rest = comma ? comma + 1 : rest;
        } while (comma);
    }
    n->attribute = xg_newn(a, Xgonnx__Attribute *, 16);
    m->node[m->graph.n_node++] = n;
    return n;
}

static inline Xgonnx__Attribute *m_attr(model *m, Xgonnx__Node *n, const char *name) {
    Xgonnx__Attribute *a = xg_new(m->t->a, Xgonnx__Attribute);
    xgonnx__attribute__init(a);
    a->name = keep(m, name);
    n->attribute[n->n_attribute++] = a;
    return a;
}

static inline void m_int(model *m, Xgonnx__Node *n, const char *name, int64_t v) {
    Xgonnx__Attribute *a = m_attr(m, n, name);
    a->has_i = true;
    a->i = v;
}

static inline void m_float(model *m, Xgonnx__Node *n, const char *name, float v) {
    Xgonnx__Attribute *a = m_attr(m, n, name);
    a->has_f = true;
    a->f = v;
}

static inline void m_str(model *m, Xgonnx__Node *n, const char *name, const char *v) {
    Xgonnx__Attribute *a = m_attr(m, n, name);
    a->has_s = true;
    a->s.data = (uint8_t *)keep(m, v);
    a->s.len = strlen(v);
}

static inline void m_ints(model *m, Xgonnx__Node *n, const char *name, size_t count,
                          const int64_t *v) {
    Xgonnx__Attribute *a = m_attr(m, n, name);
    a->n_ints = count;
    a->ints = xg_memdup(m->t->a, v, count * sizeof *v);
}

/* Writes the model to a new file, whose name it puts in the place of path's XXXXXX.onnx. */
static inline void m_write(model *m, char *path) {
    Xgonnx__Model whole;
    Xgonnx__OperatorSetId set, *sets[1] = {&set};
    xgonnx__model__init(&whole);
    xgonnx__operator_set_id__init(&set);
    set.has_version = true;
    set.version = m->opset;
    whole.graph = &m->graph;
    whole.n_opset_import = 1;
    whole.opset_import = sets;
    m->graph.node = m->node;
    m->graph.initializer = m->constant;
    m->graph.input = m->input;
    m->graph.output = m->output;
    size_t n = xgonnx__model__get_packed_size(&whole);
    uint8_t *bytes = xg_alloc(m->t->a, n);
    xgonnx__model__pack(&whole, bytes);
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    assert_true(write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

/* Imports the model; its status, diagnostics in the test's context. */
static inline xg_status m_import_with(model *m, const xg_import_options *o, xg_graph **g) {
    char path[] = "xgc-test-XXXXXX.onnx";
    m_write(m, path);
    xg_status st = xg_import_onnx(m->t->a, path, o, g);
    unlink(path);
    return st;
}

static inline xg_status m_import(model *m, xg_graph **g) {
    return m_import_with(m, &(xg_import_options){.external_data = true}, g);
}

#endif
