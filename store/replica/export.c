/* What an export says of itself: its header and its root. */

#include "store/replica/export_parts.h"

#include <stdlib.h>

void
weir_export_info_fini (struct weir_export_info *self)
{
    weir_op_vector_fini (&self->asked);
    weir_op_vector_fini (&self->asked_to);
    weir_op_vector_fini (&self->start);
    weir_op_vector_fini (&self->end);
    weir_heads_fini (&self->root);
    *self = (struct weir_export_info){ .entries = 0 };
}

void
weir_export_root_fini (struct weir_export_root *self)
{
    weir_vector_fini (&self->vector);
    weir_op_vector_fini (&self->ops_vector);
    *self = (struct weir_export_root){ .lamport = 0 };
}

struct weir_id
weir_export_root_hash (const struct weir_id *database, const struct weir_export_root *root,
                       const struct weir_bytes *settings, size_t n_settings)
{
    struct weir_hash h;
    struct weir_buf b = { 0 };
    weir_hash_init (&h, WEIR_DOMAIN_EXPORT);
    weir_buf_put (&b, database->b, WEIR_ID_BYTES);
    weir_buf_put (&b, root->entry.b, WEIR_ID_BYTES);
    weir_buf_put_u64 (&b, root->lamport);
    weir_buf_put_u32 (&b, root->ops);
    weir_buf_put_u64 (&b, root->vector.count);
    for (size_t i = 0; i < root->vector.count; i++) {
        const struct weir_row *row = &root->vector.rows[i];
        weir_buf_put (&b, row->chain.author.b, WEIR_ID_BYTES);
        weir_buf_put_u64 (&b, row->chain.lane);
        weir_buf_put_u64 (&b, row->count);
        weir_buf_put_u64 (&b, root->ops_vector.rows[i].ops);
        weir_buf_put (&b, row->tip.b, WEIR_ID_BYTES);
    }
    weir_buf_put_u64 (&b, n_settings);
    weir_hash_add (&h, weir_buf_bytes (&b));
    /* Runs and the state tell themselves where they end only together with their lengths. */
    for (size_t i = 0; i < n_settings; i++) {
        weir_buf_clear (&b);
        weir_buf_put_u64 (&b, settings[i].len);
        weir_hash_add (&h, weir_buf_bytes (&b));
        weir_hash_add (&h, settings[i]);
    }
    weir_hash_add (&h, root->state);
    weir_buf_fini (&b);
    return weir_hash_end (&h);
}

enum weir_status
weir_export_read_info (struct weir_bytes blob, struct weir_export_info *info, struct weir_error *e)
{
    struct weir_export_reader *reader = NULL;
    enum weir_status status = weir_export_open (&reader, blob, 0, e);
    if (status == WEIR_OK) {
        *info = weir_export_take_info (reader);
        weir_export_close (&reader);
    }
    return status;
}
