/* Owns a document: the tree of containers, the table of chains, and how entries are applied,
 * whole or not at all. What ops mean, the container types know; edits and states have their own
 * files. The repository calls it, one thread. */

#include "store/crdt/container.h"
#include "store/crdt/payload.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

/* A decoded payload's arrays are kept for the next one, up to this many items. */
#define SCRATCH_ITEMS_MAX 4096u
#define CHAIN_ROUGH_BYTES 200u

struct weir_doc {
    struct weir_container *top;
    struct weir_chain *chains;
    size_t n_chains;
    size_t chains_cap;
    struct weir_map *chain_numbers; /* author, lane -> number + 1 */
    uint32_t last_chain;            /* the one asked for last */
    struct weir_payload scratch;
    size_t bytes;
};

struct weir_doc *
weir_doc_new (void)
{
    struct weir_doc *self = weir_alloc (sizeof *self);
    self->top = weir_alloc (weir_container_map.size);
    self->top->type = &weir_container_map;
    self->top->doc = self;
    self->chain_numbers = weir_map_new ();
    self->bytes = sizeof *self + weir_container_map.size;
    return self;
}

void
weir_doc_destroy (struct weir_doc **self_p)
{
    struct weir_doc *self = *self_p;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    weir_container_destroy (&self->top);
    weir_map_destroy (&self->chain_numbers, NULL);
    weir_payload_fini (&self->scratch);
    free (self->chains);
    free (self);
}

size_t
weir_doc_memory_bytes (const struct weir_doc *self)
{
    return self->bytes;
}

void
weir_doc_count_bytes (struct weir_doc *doc, ptrdiff_t bytes)
{
    doc->bytes += (size_t) bytes;
}

struct weir_container *
weir_doc_top (const struct weir_doc *doc)
{
    return doc->top;
}

/* ---- chains ---- */

uint32_t
weir_doc_chain_number (struct weir_doc *doc, const struct weir_chain *chain)
{
    if (doc->n_chains > 0 && weir_chain_compare (&doc->chains[doc->last_chain], chain) == 0) {
        return doc->last_chain;
    }
    uint8_t key[WEIR_ID_BYTES + 8];
    memcpy (key, chain->author.b, WEIR_ID_BYTES);
    weir_store_u64 (key + WEIR_ID_BYTES, chain->lane);
    uintptr_t number = (uintptr_t) weir_map_get (doc->chain_numbers, weir_bytes (key, sizeof key));
    if (number == 0) {
        weir_grow (&doc->chains, &doc->chains_cap, doc->n_chains + 1, sizeof *doc->chains);
        doc->chains[doc->n_chains++] = *chain;
        number = doc->n_chains;
        (void) weir_map_put (doc->chain_numbers, weir_bytes (key, sizeof key), (void *) number);
        weir_doc_count_bytes (doc, CHAIN_ROUGH_BYTES);
    }
    doc->last_chain = (uint32_t) (number - 1);
    return doc->last_chain;
}

uint32_t
weir_doc_chains (const struct weir_doc *doc)
{
    return (uint32_t) doc->n_chains;
}

const struct weir_chain *
weir_doc_chain (const struct weir_doc *doc, uint32_t number)
{
    return &doc->chains[number];
}

/* weir_order_key_compare, without building the keys. */
int
weir_doc_compare_stamps (const struct weir_doc *doc, const struct weir_stamp *a,
                         const struct weir_stamp *b)
{
    if (a->lamport != b->lamport) {
        return a->lamport < b->lamport ? -1 : 1;
    }
    if (a->chain != b->chain) {
        return weir_chain_compare (&doc->chains[a->chain], &doc->chains[b->chain]);
    }
    return weir_id_compare (a->entry, b->entry);
}

/* ---- applying ---- */

static struct weir_container *
row_container (struct weir_doc *self, struct weir_payload *p, uint32_t row, bool make)
{
    uint32_t way[WEIR_CONTAINER_DEPTH_MAX];
    size_t n = 0;
    while (p->rows[row].container == NULL) {
        way[n++] = row;
        if (p->rows[row].kind == WEIR_ROW_ROOT) {
            break;
        }
        row = p->rows[row].parent;
    }
    struct weir_container *c = p->rows[row].container;
    while (n > 0) {
        struct weir_row_of_payload *r = &p->rows[way[--n]];
        c = weir_container_child (c != NULL ? c : self->top, r->key, r->type, make);
        r->container = c;
        if (c == NULL) {
            return NULL;
        }
    }
    return c;
}

static enum weir_status
validate (struct weir_doc *self, struct weir_payload *p)
{
    enum weir_status status = WEIR_OK;
    for (size_t i = 0; i < p->n_ops && status == WEIR_OK; i++) {
        const struct weir_op *op = &p->ops[i];
        const struct weir_container_type *type = p->rows[op->row].type;
        if (type->validate != NULL) {
            status = type->validate (row_container (self, p, op->row, false), op);
        }
    }
    return status;
}

enum weir_status
weir_doc_apply (struct weir_doc *self, const struct weir_doc_entry *entry,
                struct weir_bytes payload)
{
    struct weir_payload *p = &self->scratch;
    enum weir_status status = weir_payload_decode (p, payload);
    if (status == WEIR_OK && p->atoms != entry->ops) {
        status = WEIR_BAD_PAYLOAD;
    }
    if (status == WEIR_OK) {
        status = validate (self, p);
    }
    if (status == WEIR_OK && p->n_ops > 0) {
        struct weir_stamp stamp = { .lamport = entry->lamport, .entry = &entry->id };
        stamp.chain = weir_doc_chain_number (self, &entry->chain);
        for (size_t i = 0; i < p->n_ops; i++) {
            const struct weir_op *op = &p->ops[i];
            struct weir_container *c = row_container (self, p, op->row, true);
            c->type->apply (c, op, &stamp);
            stamp.lamport += op->atoms;
        }
    }
    if (p->rows_cap > SCRATCH_ITEMS_MAX || p->ops_cap > SCRATCH_ITEMS_MAX) {
        weir_payload_fini (p);
    }
    return status;
}

enum weir_status
weir_doc_payload_info (struct weir_bytes payload, struct weir_bytes *message, uint32_t *ops)
{
    struct weir_payload p = { 0 };
    enum weir_status status = weir_payload_decode (&p, payload);
    if (status == WEIR_OK) {
        *message = p.message;
        *ops = (uint32_t) p.atoms;
    }
    weir_payload_fini (&p);
    return status;
}

enum weir_status
weir_doc_payload_json (struct weir_bytes payload, json_t **out)
{
    struct weir_payload p = { 0 };
    enum weir_status status = weir_payload_decode (&p, payload);
    if (status == WEIR_OK) {
        *out = weir_payload_json (&p);
    }
    weir_payload_fini (&p);
    return status;
}

/* ---- reading ---- */

/* One container on the way down; `json` is what its items go to. */
struct frame {
    const struct weir_container *container;
    json_t *json;
    size_t next;
};

static void
json_put (json_t *to, struct weir_bytes key, json_t *value)
{
    const char *name = key.len > 0 ? (const char *) key.data : "";
    if (json_is_array (to)) {
        json_array_append_new (to, value);
    } else {
        json_object_setn_new_nocheck (to, name, key.len, value);
    }
}

/* The value as JSON, with all below: a walk with a stack as high as documents may be deep. */
json_t *
weir_doc_item_json (const struct weir_item *item)
{
    struct frame frames[WEIR_CONTAINER_DEPTH_MAX + 1];
    if (item->value.type != WEIR_VALUE_CONTAINER) {
        return weir_value_json (&item->value);
    }
    if (item->child == NULL) {
        return weir_container_type (item->value.container)->json (NULL);
    }
    json_t *out = item->child->type->json (item->child);
    size_t depth = 0;
    frames[depth++] = (struct frame){ .container = item->child, .json = out };
    while (depth > 0) {
        struct frame *f = &frames[depth - 1];
        struct weir_item below;
        if (f->container->type->next == NULL
            || !f->container->type->next (f->container, &f->next, &below)) {
            depth--;
        } else if (below.value.type != WEIR_VALUE_CONTAINER) {
            json_put (f->json, below.key, weir_value_json (&below.value));
        } else {
            const struct weir_container_type *type = weir_container_type (below.value.container);
            json_t *json = type->json (below.child);
            json_put (f->json, below.key, json);
            if (below.child != NULL) {
                frames[depth++] = (struct frame){ .container = below.child, .json = json };
            }
        }
    }
    return out;
}

/* What is visible at the first `count` parts of the path; false: nothing. */
static bool
resolve (const struct weir_doc *self, const struct weir_path *path, size_t count,
         struct weir_item *item)
{
    *item = (struct weir_item){ .value = { .type = WEIR_VALUE_CONTAINER,
                                           .container = WEIR_CONTAINER_MAP },
                                .child = self->top };
    for (size_t i = 0; i < count; i++) {
        const struct weir_container *c = item->child;
        if (c == NULL || c->type->find == NULL
            || !c->type->find (c, weir_bytes_str (path->parts[i]), item)) {
            return false;
        }
    }
    return true;
}

enum weir_status
weir_doc_get (const struct weir_doc *self, const char *path, json_t **out, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_item item;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK && !resolve (self, &parts, parts.count, &item)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", path);
    }
    if (status == WEIR_OK) {
        *out = weir_doc_item_json (&item);
    }
    weir_path_fini (&parts);
    return status;
}

static json_t *
concurrent_json (const struct weir_container *c, struct weir_bytes key,
                 const struct weir_value *value)
{
    struct weir_item item = { .key = key, .value = *value };
    if (value->type == WEIR_VALUE_DELETED) {
        return NULL;
    }
    if (value->type == WEIR_VALUE_CONTAINER) {
        /* Looks only: nothing is made. */
        item.child = weir_container_child ((struct weir_container *) (uintptr_t) c, key,
                                           weir_container_type (value->container), false);
    }
    return weir_doc_item_json (&item);
}

enum weir_status
weir_doc_conflicts (const struct weir_doc *self, const char *path, struct weir_doc_value *values,
                    size_t max, size_t *count, struct weir_error *e)
{
    struct weir_path parts = { 0 };
    struct weir_item item;
    struct weir_concurrent found[WEIR_LOSERS_MAX + 1];
    size_t n = 0;
    size_t wanted = max < WEIR_LOSERS_MAX + 1 ? max : WEIR_LOSERS_MAX + 1;
    enum weir_status status = weir_path_parse (&parts, path, e);
    if (status == WEIR_OK && parts.count < 2) {
        status = weir_error_set (e, WEIR_INVALID_PATH, NULL,
                                 "values concur at the key of a map, and %s names none", path);
    }
    if (status != WEIR_OK) {
        goto done;
    }
    struct weir_bytes key = weir_bytes_str (parts.parts[parts.count - 1]);
    if (resolve (self, &parts, parts.count - 1, &item) && item.child != NULL
        && item.child->type->concurrent != NULL) {
        n = item.child->type->concurrent (item.child, key, found, wanted);
    }
    if (n == 0) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "nothing was ever written at %s", path);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        values[i].key = (struct weir_order_key){ .lamport = found[i].stamp.lamport,
                                                 .chain = self->chains[found[i].stamp.chain],
                                                 .entry = *found[i].stamp.entry };
        values[i].value = concurrent_json (item.child, key, &found[i].value);
    }
    *count = n;
done:
    weir_path_fini (&parts);
    return status;
}
