/* What the text form and the protobuf form of a graph share. Internal to xgraph/. Page:
 * xgraph/README.md. */
#ifndef XG_FORM_H
#define XG_FORM_H

#include "xgraph/xgraph.h"

/* Written into both forms; a reader refuses any other. */
#define XG_FORM_VERSION 1

/* Constants are little-endian in both forms and in the host's order in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the forms of XGraph need a little-endian host");

/* True when the attribute has its row's default bit for bit: such attributes are left out of the
 * forms. */
bool xg_attr_is_default(const xg_attr *a, xg_attr_id id);
/* Position of the attribute with this name in the op's row, -1 when the op has none such. */
int xg_attr_slot_by_name(xg_op op, const char *name);

#endif
