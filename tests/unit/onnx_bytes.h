/* ONNX models that are in memory. */
#ifndef ONNX_BYTES_H
#define ONNX_BYTES_H

#include "xgraph/import.h"

#include "xg_test.h"

#include <stdlib.h>
#include <unistd.h>

/* Imports a model from its bytes. */
static inline xg_graph *import_bytes(xg_test *t, const xg_buf *onnx) {
    char path[] = "xgc-test-XXXXXX.onnx";
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(t->c, xg_write_file(t->c, path, onnx->p, onnx->n));
    const xg_import_options on = {.external_data = true};
    xg_graph *g;
    xg_status st = xg_import_onnx(t->a, path, &on, &g);
    unlink(path);
    assert_ok(t->c, st);
    return g;
}

#endif
