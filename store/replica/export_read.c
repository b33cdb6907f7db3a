/* Reads exports. The checksum comes first: a damaged blob is seen before anything else of it is
 * looked at. A whole one may still be hostile: counts allocate nothing, what comes out is bounded,
 * and the work is that of what comes out. */

#include "store/replica/export_parts.h"

#include "store/base/map.h"

#include <stdlib.h>
#include <string.h>

enum weir_status
weir_export_bad (struct weir_error *e, const char *what)
{
    return weir_error_set (e, WEIR_BAD_EXPORT, NULL, "%s", what);
}

enum weir_status
weir_export_too_much (struct weir_error *e)
{
    return weir_error_set (e, WEIR_LIMIT, NULL, "the export holds more than can be taken at once");
}

/* ---- the header ---- */

void
weir_export_read_id (struct weir_reader *r, struct weir_id *id)
{
    struct weir_bytes b = weir_read_bytes (r, WEIR_ID_BYTES);
    if (!r->bad) {
        memcpy (id->b, b.data, WEIR_ID_BYTES);
    }
}

static struct weir_chain
chain_at (const struct weir_export_reader *self, size_t number)
{
    const uint8_t *p = self->chain_table + number * (WEIR_ID_BYTES + 8);
    struct weir_chain chain;
    memcpy (chain.author.b, p, WEIR_ID_BYTES);
    chain.lane = weir_load_u64 (p + WEIR_ID_BYTES);
    return chain;
}

static struct weir_chain
read_chain (const struct weir_export_reader *self, struct weir_reader *r, uint64_t number)
{
    struct weir_chain none = { .lane = 0 };
    if (number >= self->n_chains) {
        r->bad = true;
    }
    return r->bad ? none : chain_at (self, (size_t) number);
}

static void
read_vector (const struct weir_export_reader *self, struct weir_reader *r, struct weir_op_vector *v)
{
    uint64_t count = weir_read_varint (r);
    for (uint64_t i = 0; i < count && !r->bad; i++) {
        struct weir_op_row row = { .ops = 0 };
        uint64_t number = weir_read_varint (r);
        row.chain = read_chain (self, r, number >> 1);
        row.ops = weir_read_varint (r);
        if ((number & 1) != 0) {
            weir_export_read_id (r, &row.tip);
        }
        weir_grow (&v->rows, &v->cap, v->count + 1, sizeof *v->rows);
        v->rows[v->count++] = row;
    }
}

/* Beyond these nobody counts; sums of them do not overflow. */
#define COUNT_MAX (UINT64_MAX >> 2)

static void
read_root_row (struct weir_export_reader *self, struct weir_reader *r)
{
    struct weir_export_root *root = &self->root;
    struct weir_row row = { .count = 0 };
    struct weir_op_row ops = { .ops = 0 };
    size_t at = root->vector.count;
    row.chain = read_chain (self, r, weir_read_varint (r));
    row.count = weir_read_varint (r);
    ops.ops = weir_read_varint (r);
    weir_export_read_id (r, &row.tip);
    ops.chain = row.chain;
    ops.tip = row.tip;
    if (at > 0) { /* in order: they are searched */
        const struct weir_row *last = &root->vector.rows[at - 1];
        int order = weir_chain_compare (&last->chain, &row.chain);
        order = order != 0 ? order : weir_id_compare (&last->tip, &row.tip);
        r->bad |= order >= 0;
    }
    r->bad |= row.count == 0 || row.count > COUNT_MAX || ops.ops > COUNT_MAX;
    weir_grow (&root->vector.rows, &root->vector.cap, at + 1, sizeof row);
    root->vector.rows[root->vector.count++] = row;
    weir_grow (&root->ops_vector.rows, &root->ops_vector.cap, at + 1, sizeof ops);
    root->ops_vector.rows[root->ops_vector.count++] = ops;
}

/* No tip stands twice, in whatever chains, and the root is one of them. */
static bool
is_root_good (const struct weir_export_root *root)
{
    struct weir_map *tips = weir_map_new ();
    bool good = root->lamport <= COUNT_MAX;
    bool found = false;
    for (size_t i = 0; i < root->vector.count && good; i++) {
        const struct weir_id *tip = &root->vector.rows[i].tip;
        good = weir_map_put (tips, weir_id_bytes (tip), tips) == NULL;
        found = found
                || (weir_id_equal (tip, &root->entry) && root->ops_vector.rows[i].ops >= root->ops);
    }
    weir_map_destroy (&tips, NULL);
    return good && found;
}

static void
read_root (struct weir_export_reader *self, struct weir_reader *r)
{
    struct weir_export_root *root = &self->root;
    weir_export_read_id (r, &root->entry);
    root->lamport = weir_read_varint (r);
    uint64_t ops = weir_read_varint (r);
    r->bad |= ops > WEIR_ENTRY_OPS_MAX;
    root->ops = (uint32_t) ops;
    uint64_t count = weir_read_varint (r);
    for (uint64_t i = 0; i < count && !r->bad; i++) {
        read_root_row (self, r);
    }
    weir_export_read_id (r, &root->signer);
    struct weir_bytes signature = weir_read_bytes (r, WEIR_SIGNATURE_BYTES);
    r->bad = r->bad || !is_root_good (root);
    if (!r->bad) {
        memcpy (root->signature.b, signature.data, WEIR_SIGNATURE_BYTES);
        weir_heads_put (&self->info.root, &root->entry);
    }
}

static void
read_chain_table (struct weir_export_reader *self, struct weir_reader *r)
{
    uint64_t count = weir_read_varint (r);
    if (count > weir_reader_left (r) / (WEIR_ID_BYTES + 8)) {
        r->bad = true;
        return;
    }
    self->n_chains = (size_t) count;
    self->chain_table = weir_read_bytes (r, (size_t) count * (WEIR_ID_BYTES + 8)).data;
}

static void
read_sections (struct weir_export_reader *self, struct weir_reader *r)
{
    uint64_t packed[WEIR_EXPORT_SECTIONS];
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        uint64_t len = weir_read_varint (r);
        packed[i] = weir_read_varint (r);
        r->bad |= len > SIZE_MAX / 2 || packed[i] > len;
        self->len[i] = (size_t) len;
    }
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS && !r->bad; i++) {
        r->bad |= packed[i] > weir_reader_left (r);
        self->packed[i] = weir_read_bytes (r, r->bad ? 0 : (size_t) packed[i]);
    }
    r->bad |= self->packed[WEIR_EXPORT_RAW].len != self->len[WEIR_EXPORT_RAW];
}

static void
read_header (struct weir_export_reader *self, struct weir_reader *r)
{
    struct weir_export_info *info = &self->info;
    uint8_t mode = weir_read_u8 (r);
    self->flags = weir_read_u8 (r);
    r->bad |= mode < WEIR_EXPORT_SNAPSHOT || mode > WEIR_EXPORT_SHALLOW
              || self->flags > WEIR_EXPORT_FLAG_ROOT
              || (mode == WEIR_EXPORT_SHALLOW) != (self->flags == WEIR_EXPORT_FLAG_ROOT);
    info->mode = (enum weir_export_mode) mode;
    weir_export_read_id (r, &info->database);
    info->clock_ms_min = weir_read_u64 (r);
    info->clock_ms_max = weir_read_u64 (r);
    info->entries = weir_read_varint (r);
    info->ops = weir_read_varint (r);
    read_chain_table (self, r);
    read_vector (self, r, &info->asked);
    read_vector (self, r, &info->asked_to);
    read_vector (self, r, &info->start);
    read_vector (self, r, &info->end);
    if (self->flags == WEIR_EXPORT_FLAG_ROOT && !r->bad) {
        read_root (self, r);
    }
    self->n_runs = weir_read_varint (r);
    self->n_pending = weir_read_varint (r);
    self->n_settings = weir_read_varint (r);
    read_sections (self, r);
}

enum weir_status
weir_export_open (struct weir_export_reader **out, struct weir_bytes blob, size_t bytes_max,
                  struct weir_error *e)
{
    uint8_t check[WEIR_EXPORT_CHECK_BYTES];
    if (blob.len < WEIR_EXPORT_BEGIN + 1
        || memcmp (blob.data, WEIR_EXPORT_MAGIC, WEIR_EXPORT_MAGIC_BYTES) != 0) {
        return weir_export_bad (e, "these bytes are no export of weir");
    }
    weir_export_check (blob, check);
    if (memcmp (blob.data + WEIR_EXPORT_MAGIC_BYTES, check, sizeof check) != 0) {
        return weir_export_bad (e, "the export is damaged or cut short");
    }
    struct weir_reader r = weir_reader (blob);
    (void) weir_read_bytes (&r, WEIR_EXPORT_BEGIN);
    uint8_t format = weir_read_u8 (&r);
    if (format != WEIR_EXPORT_FORMAT) {
        return format > WEIR_EXPORT_FORMAT ? weir_error_set (
                   e, WEIR_NEEDS_UPGRADE, NULL, "the export has a format from the future")
                                           : weir_export_bad (e, "the export has no known format");
    }
    struct weir_export_reader *self = weir_alloc (sizeof *self);
    self->bytes_max = bytes_max == 0 ? WEIR_EXPORT_BYTES_MAX : bytes_max;
    read_header (self, &r);
    if (!weir_reader_done (&r)) {
        weir_export_close (&self);
        return weir_export_bad (e, "the header of the export is malformed");
    }
    *out = self;
    return WEIR_OK;
}

void
weir_export_close (struct weir_export_reader **self_p)
{
    struct weir_export_reader *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < WEIR_EXPORT_SECTIONS; i++) {
        weir_buf_fini (&self->unpacked[i]);
    }
    weir_export_info_fini (&self->info);
    weir_export_root_fini (&self->root);
    weir_arena_destroy (&self->arena);
    weir_buf_fini (&self->scratch);
    free (self->runs);
    free (self->inert);
    free (self->ends);
    free (self->entries);
    free (self->raw);
    free (self);
    *self_p = NULL;
}

const struct weir_export_info *
weir_export_info (const struct weir_export_reader *self)
{
    return &self->info;
}

struct weir_export_info
weir_export_take_info (struct weir_export_reader *self)
{
    struct weir_export_info info = self->info;
    self->info = (struct weir_export_info){ .entries = 0 };
    return info;
}

/* ---- sections ---- */

enum weir_status
weir_export_open_section (struct weir_export_reader *self, enum weir_export_section i,
                          struct weir_bytes *out, struct weir_error *e)
{
    if (self->packed[i].len == self->len[i]) {
        *out = self->packed[i];
        return WEIR_OK;
    }
    if (self->unpacked[i].len != self->len[i]) {
        if (self->len[i] > self->bytes_max - self->bytes) {
            return weir_export_too_much (e);
        }
        if (!weir_export_unpack (self->packed[i], self->len[i], &self->unpacked[i])) {
            weir_buf_fini (&self->unpacked[i]);
            return weir_export_bad (e, "a part of the export does not unpack");
        }
        self->bytes += self->len[i];
    }
    *out = weir_buf_bytes (&self->unpacked[i]);
    return WEIR_OK;
}

enum weir_status
weir_export_read_state (struct weir_export_reader *self, struct weir_bytes *out,
                        struct weir_error *e)
{
    return weir_export_open_section (self, WEIR_EXPORT_STATE, out, e);
}

enum weir_status
weir_export_read_root (struct weir_export_reader *self, const struct weir_export_root **out,
                       struct weir_error *e)
{
    if (self->flags != WEIR_EXPORT_FLAG_ROOT) {
        *out = NULL;
        return WEIR_OK;
    }
    enum weir_status status =
        weir_export_open_section (self, WEIR_EXPORT_ROOT_STATE, &self->root.state, e);
    if (status == WEIR_OK) {
        *out = &self->root;
    }
    return status;
}

enum weir_status
weir_export_verify_root (struct weir_export_reader *self, struct weir_error *e)
{
    const struct weir_export_root *root = NULL;
    struct weir_export_runs runs;
    enum weir_status status = weir_export_read_root (self, &root, e);
    if (status == WEIR_OK && root == NULL) {
        return weir_export_bad (e, "the export has no root");
    }
    if (status == WEIR_OK) {
        status = weir_export_read_runs (self, &runs, e);
    }
    if (status != WEIR_OK) {
        return status;
    }
    struct weir_bytes *settings = weir_alloc ((runs.n_settings + 1) * sizeof *settings);
    for (size_t i = 0; i < runs.n_settings; i++) {
        settings[i] = runs.settings[i].bytes;
    }
    struct weir_id hash =
        weir_export_root_hash (&self->info.database, root, settings, runs.n_settings);
    free (settings);
    status = weir_verify (&root->signer, WEIR_SIGN_EXPORT, weir_id_bytes (&hash), &root->signature);
    return status == WEIR_OK
               ? WEIR_OK
               : weir_error_set (e, status, NULL, "the root of the export is not as it was signed");
}
