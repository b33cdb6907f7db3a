/* Membership by the current heads, and what follows from it: who may write, forks as proof of a
 * key in two places, and the late data of removed devices. */

#include "store/dag/run_scan.h"
#include "store/repo/parts.h"

#include <stdlib.h>
#include <string.h>

#define CODEC_MAX WEIR_CODEC_BLOBS /* the highest that is read here */

/* ---- rights ---- */

static enum weir_status
write_status (struct weir_repo *self, struct weir_repo_db *db)
{
    const struct weir_id *me = &self->identity->device;
    enum weir_right right = weir_members_right (db->members, db->view, me);
    if (right == WEIR_RIGHT_NONE) {
        size_t count = 0;
        const struct weir_member *list = weir_members_list (db->members, db->view, &count);
        for (size_t i = 0; i < count; i++) {
            if (weir_id_equal (&list[i].device, me)) {
                return WEIR_REMOVED;
            }
        }
        return WEIR_NOT_MEMBER;
    }
    if (right < WEIR_RIGHT_WRITE) {
        return WEIR_NOT_ALLOWED;
    }
    if (db->needs_upgrade) {
        return WEIR_NEEDS_UPGRADE;
    }
    return weir_members_may_store (db->members, db->view, me, WEIR_ENTRY_DATA,
                                   weir_bytes (NULL, 0));
}

void
weir_repo_rights_refresh (struct weir_repo *self, struct weir_repo_db *db)
{
    if (db->right_view == db->view) {
        return;
    }
    db->needs_upgrade = false;
    for (uint32_t i = 0; i < db->n_settings; i++) {
        const struct weir_repo_settings *s = &db->settings[i];
        if ((s->entry_version_max > WEIR_ENTRY_VERSION || s->codec_max > CODEC_MAX)
            && !weir_members_is_void (db->members, db->view, i)) {
            db->needs_upgrade = true;
        }
    }
    db->write_status = write_status (self, db);
    db->right_view = db->view;
}

enum weir_right
weir_repo_right (struct weir_repo *self, const struct weir_id *id, const struct weir_id *device)
{
    struct weir_repo_db *db = NULL;
    if (weir_repo_db_get (self, id, &db) != WEIR_OK) {
        return WEIR_RIGHT_NONE;
    }
    return weir_members_right (db->members, db->view, device);
}

const struct weir_member *
weir_repo_members (struct weir_repo *self, const struct weir_id *id, size_t *count)
{
    struct weir_repo_db *db = NULL;
    *count = 0;
    if (weir_repo_db_get (self, id, &db) != WEIR_OK) {
        return NULL;
    }
    return weir_members_list (db->members, db->view, count);
}

bool
weir_repo_void (struct weir_repo *self, const struct weir_id *id, size_t i, struct weir_id *entry)
{
    struct weir_repo_db *db = NULL;
    if (weir_repo_db_get (self, id, &db) != WEIR_OK) {
        return false;
    }
    for (uint32_t n = 0; n < db->n_settings; n++) {
        if (weir_members_is_void (db->members, db->view, n) && i-- == 0) {
            *entry = db->settings[n].entry;
            return true;
        }
    }
    return false;
}

uint64_t
weir_repo_members_epoch (const struct weir_repo *self)
{
    return self->members_epoch;
}

/* ---- forks ---- */

enum weir_status
weir_repo_fork (struct weir_repo *self, const struct weir_id *id, size_t i, struct weir_fork *fork)
{
    struct weir_repo_db *db = NULL;
    enum weir_status status = weir_repo_db_get (self, id, &db);
    if (status != WEIR_OK) {
        return status;
    }
    for (uint32_t n = 0; n < db->n_branches; n++) {
        const struct weir_repo_branch *b = &db->branches[n];
        uint32_t first = weir_repo_chain (db, &b->chain);
        if (first == n || i-- > 0) {
            continue; /* a chain's first branch forks from nothing */
        }
        struct weir_fork f = { .chain = b->chain, .seq = b->first_seq, .b = b->first };
        if (b->parent == WEIR_REPO_NONE) {
            f.a = db->branches[first].first; /* two first entries of one lane */
        } else {
            status = weir_repo_id_at (self, db, b->parent, b->first_seq, &f.a);
        }
        if (status == WEIR_OK) {
            *fork = f;
        }
        return status;
    }
    return WEIR_NOT_FOUND;
}
