/* Owns how a styled text of a document is looked at from outside, by its path. */

#include "store/crdt/types.h"

enum weir_status
weir_doc_delta (const struct weir_doc *self, const char *path, json_t **out, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_item item = { .child = weir_doc_top (self) };
    enum weir_status status = weir_path_parse (&parts, path, e);
    for (size_t i = 0; status == WEIR_OK && i < parts.count; i++) {
        const struct weir_container *c = item.child;
        if (c == NULL || c->type->find == NULL
            || !c->type->find (c, weir_bytes_str (parts.parts[i]), &item)) {
            status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", path);
        }
    }
    bool is_text =
        parts.count > 0
        && (item.value.type == WEIR_VALUE_CONTAINER || item.value.type == WEIR_VALUE_UNIQUE)
        && item.value.container == WEIR_CONTAINER_TEXT;
    if (status == WEIR_OK && !is_text) {
        status = weir_error_set (e, WEIR_CONFLICT, "weir doc get shows it",
                                 "what stands at %s is no text", path);
    }
    if (status == WEIR_OK) {
        *out = item.child != NULL ? weir_text_delta (item.child) : json_array ();
    }
    weir_path_fini (&parts);
    return status;
}
