/* Owns JSON Patch (RFC 6902) on edits: add, remove, replace, move, copy, test, and beside them what
 * documents have more: text_insert, text_delete, text_update, mark, list_insert, list_move,
 * increment; all of a patch or none of it. What operations become in the document, the other files
 * of edits know. */

#include "store/crdt/edit.h"

#include <string.h>

/* ---- equality, as RFC 6902 section 4.6 has it: numbers by value, objects in any order ---- */

static bool
scalars_equal (const json_t *a, const json_t *b)
{
    if (json_is_number (a) && json_is_number (b)) {
        return json_is_integer (a) && json_is_integer (b)
                   ? json_integer_value (a) == json_integer_value (b)
                   : json_number_value (a) == json_number_value (b);
    }
    if (json_typeof (a) != json_typeof (b)) {
        return false;
    }
    if (json_is_string (a)) {
        return weir_bytes_equal (weir_bytes (json_string_value (a), json_string_length (a)),
                                 weir_bytes (json_string_value (b), json_string_length (b)));
    }
    return true;
}

struct frame {
    const json_t *a;
    const json_t *b;
    void *at; /* in an object a */
    size_t index;
};

/* Of the same kind and size: then what is in them is compared. */
static bool
frame_open (struct frame *f, const json_t *a, const json_t *b)
{
    *f = (struct frame){ .a = a, .b = b };
    if (json_is_object (a)) {
        f->at = json_object_iter ((json_t *) (uintptr_t) a);
        return json_is_object (b) && json_object_size (a) == json_object_size (b);
    }
    return json_is_array (b) && json_array_size (a) == json_array_size (b);
}

/* The next two to compare; false: no more. b is NULL where it lacks one. */
static bool
frame_next (struct frame *f, const json_t **a, const json_t **b)
{
    if (json_is_array (f->a)) {
        *a = json_array_get (f->a, f->index);
        *b = json_array_get (f->b, f->index++);
        return *a != NULL;
    }
    if (f->at == NULL) {
        return false;
    }
    *a = json_object_iter_value (f->at);
    *b = json_object_getn (f->b, json_object_iter_key (f->at), json_object_iter_key_len (f->at));
    f->at = json_object_iter_next ((json_t *) (uintptr_t) f->a, f->at);
    return true;
}

/* `a` comes from a document, so its depth has a bound. */
static bool
json_same (const json_t *a, const json_t *b)
{
    struct frame frames[WEIR_JSON_DEPTH_MAX + 1];
    size_t depth = 0;
    for (;;) {
        if (json_is_object (a) || json_is_array (a)) {
            if (!frame_open (&frames[depth++], a, b)) {
                return false;
            }
        } else if (!scalars_equal (a, b)) {
            return false;
        }
        while (depth > 0 && !frame_next (&frames[depth - 1], &a, &b)) {
            depth--;
        }
        if (depth == 0) {
            return true;
        }
        if (b == NULL) {
            return false;
        }
    }
}

/* ---- one operation ---- */

struct step {
    const char *op;
    const char *path;
    const char *from;    /* NULL: not named */
    const json_t *value; /* NULL: not named */
    const json_t *json;  /* the whole operation */
};

/* The place of something that is there. */
static enum weir_status
find (struct weir_edit *edit, const char *pointer, struct weir_edit_place *place,
      struct weir_error *e)
{
    struct weir_path path = { 0 };
    struct weir_value value;
    enum weir_status status = weir_path_parse (&path, pointer, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (edit, &path, false, false, place, e);
    }
    if (status == WEIR_OK && !weir_edit_visible (edit, place->cell, &value)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", pointer);
    }
    weir_path_fini (&path);
    return status;
}

static enum weir_status
read_json (struct weir_edit *edit, const char *pointer, json_t **out, struct weir_error *e)
{
    struct weir_edit_place place;
    if (pointer[0] == 0) {
        *out = weir_edit_json (edit);
        return WEIR_OK;
    }
    enum weir_status status = find (edit, pointer, &place, e);
    if (status == WEIR_OK) {
        *out = weir_edit_cell_json (edit, place.cell);
    }
    return status;
}

static enum weir_status
add (struct weir_edit *edit, const char *pointer, const json_t *value, struct weir_error *e)
{
    struct weir_path path = { 0 };
    struct weir_edit_place place;
    enum weir_status status = weir_path_parse (&path, pointer, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (edit, &path, false, true, &place, e);
    }
    if (status == WEIR_OK) {
        status = place.index != WEIR_EDIT_NONE ? weir_edit_insert_at (edit, &place, value, e)
                                               : weir_edit_assign (edit, place.cell, value, e);
    }
    weir_path_fini (&path);
    return status;
}

static enum weir_status
removed (struct weir_edit *edit, const char *pointer, struct weir_error *e)
{
    struct weir_edit_place place;
    enum weir_status status = find (edit, pointer, &place, e);
    return status == WEIR_OK ? weir_edit_clear_at (edit, &place, e) : status;
}

static enum weir_status
tested (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    json_t *now = NULL;
    enum weir_status status = read_json (edit, s->path, &now, e);
    if (status == WEIR_NOT_FOUND || status == WEIR_CONFLICT
        || (status == WEIR_OK && !json_same (now, s->value))) {
        status = weir_error_set (e, WEIR_CONFLICT, "read it again, and decide anew",
                                 "another value stands at %s", s->path);
    }
    json_decref (now);
    return status;
}

static bool
is_inside (const char *path, const char *from)
{
    size_t len = strlen (from);
    return strncmp (path, from, len) == 0 && path[len] == '/';
}

static enum weir_status
copied (struct weir_edit *edit, const struct step *s, bool move, struct weir_error *e)
{
    json_t *value = NULL;
    if (move && is_inside (s->path, s->from)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "%s lies inside of %s", s->path,
                               s->from);
    }
    enum weir_status status = read_json (edit, s->from, &value, e);
    bool stays = move && strcmp (s->path, s->from) == 0;
    if (status == WEIR_OK && move && !stays) {
        status = removed (edit, s->from, e);
    }
    if (status == WEIR_OK && !stays) {
        status = add (edit, s->path, value, e);
    }
    json_decref (value);
    return status;
}

static enum weir_status
replaced (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    struct weir_edit_place place;
    enum weir_status status = find (edit, s->path, &place, e);
    return status == WEIR_OK ? weir_edit_assign_at (edit, &place, s->value, e) : status;
}

static enum weir_status
missing (const char *member, struct weir_error *e)
{
    return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "\"%s\" is missing or of another type",
                           member);
}

/* A member that counts; `otherwise` when it is not named. */
static enum weir_status
count (const json_t *json, const char *member, uint32_t otherwise, uint32_t *out,
       struct weir_error *e)
{
    const json_t *value = json_object_get (json, member);
    json_int_t n = json_is_integer (value) ? json_integer_value (value) : -1;
    *out = otherwise;
    if (value != NULL && (n < 0 || n >= (json_int_t) UINT32_MAX)) {
        return missing (member, e);
    }
    *out = value != NULL ? (uint32_t) n : otherwise;
    return WEIR_OK;
}

static enum weir_status
unit (const json_t *json, enum weir_text_unit *out, struct weir_error *e)
{
    static const char *const names[] = { "scalars", "utf8", "utf16" };
    const char *name = json_string_value (json_object_get (json, "unit"));
    *out = WEIR_TEXT_SCALARS;
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof *names; i++) {
        if (strcmp (name, names[i]) == 0) {
            *out = (enum weir_text_unit) i;
            return WEIR_OK;
        }
    }
    return json_object_get (json, "unit") == NULL
               ? WEIR_OK
               : weir_error_set (e, WEIR_INVALID_ARGUMENT, "scalars, utf8 or utf16",
                                 "\"unit\" is unknown");
}

static enum weir_status
text_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    uint32_t at = 0;
    uint32_t n = 0;
    enum weir_text_unit u = WEIR_TEXT_SCALARS;
    const json_t *text = json_object_get (s->json, "text");
    bool deletes = strcmp (s->op, "text_delete") == 0;
    enum weir_status status = unit (s->json, &u, e);
    if (status == WEIR_OK && !deletes && !json_is_string (text)) {
        return missing ("text", e);
    }
    struct weir_bytes bytes = weir_bytes (json_string_value (text), json_string_length (text));
    if (status == WEIR_OK && strcmp (s->op, "text_update") == 0) {
        return weir_edit_text_update (edit, s->path, bytes, e);
    }
    if (status == WEIR_OK) {
        status = count (s->json, "at", UINT32_MAX, &at, e);
    }
    if (status == WEIR_OK && !deletes) {
        return weir_edit_text_insert (edit, s->path, at, u, bytes, e);
    }
    if (status == WEIR_OK) {
        status = count (s->json, "count", 1, &n, e);
    }
    return status == WEIR_OK ? weir_edit_text_delete (edit, s->path, at, n, u, e) : status;
}

static enum weir_status
mark_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    static const char *const names[] = { "after", "before", "both", "none" };
    const json_t *how = json_object_get (s->json, "expand");
    const char *key = json_string_value (json_object_get (s->json, "key"));
    uint32_t from = 0;
    uint32_t to = 0;
    size_t expand = 0;
    while (how != NULL && expand < 4
           && (!json_is_string (how) || strcmp (json_string_value (how), names[expand]) != 0)) {
        expand++;
    }
    if (expand == 4) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "after, before, both or none",
                               "\"expand\" is unknown");
    }
    if (key == NULL || s->value == NULL) {
        return missing (key == NULL ? "key" : "value", e);
    }
    enum weir_status status = count (s->json, "start", 0, &from, e);
    if (status == WEIR_OK) {
        status = count (s->json, "end", 0, &to, e);
    }
    return status == WEIR_OK ? weir_edit_text_mark (edit, s->path, from, to, key, s->value,
                                                    (enum weir_expand) expand, e)
                             : status;
}

static enum weir_status
list_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    uint32_t from = 0;
    uint32_t to = 0;
    if (strcmp (s->op, "list_insert") == 0) {
        enum weir_status status = count (s->json, "at", UINT32_MAX, &to, e);
        if (status == WEIR_OK && s->value == NULL) {
            status = missing ("value", e);
        }
        bool movable = json_is_true (json_object_get (s->json, "movable"));
        return status == WEIR_OK ? weir_edit_list_insert (edit, s->path, to, movable, s->value, e)
                                 : status;
    }
    enum weir_status status = count (s->json, "at", UINT32_MAX, &from, e);
    if (status == WEIR_OK) {
        status = count (s->json, "to", UINT32_MAX, &to, e);
    }
    return status == WEIR_OK ? weir_edit_list_move (edit, s->path, from, to, e) : status;
}

static enum weir_status
increment_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    const json_t *by = json_object_get (s->json, "by");
    return json_is_number (by) ? weir_edit_increment (edit, s->path, by, e) : missing ("by", e);
}

static enum weir_status
move_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    return copied (edit, s, true, e);
}

static enum weir_status
copy_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    return copied (edit, s, false, e);
}

static enum weir_status
remove_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    return removed (edit, s->path, e);
}

static enum weir_status
add_op (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    return add (edit, s->path, s->value, e);
}

static const struct {
    const char *name;
    enum weir_status (*run) (struct weir_edit *edit, const struct step *s, struct weir_error *e);
    const char *needs; /* a member, beside op and path; NULL: checked by run */
} operations[] = {
    { "add", add_op, "value" },          { "remove", remove_op, NULL },
    { "replace", replaced, "value" },    { "move", move_op, "from" },
    { "copy", copy_op, "from" },         { "test", tested, "value" },
    { "text_insert", text_op, NULL },    { "text_delete", text_op, NULL },
    { "text_update", text_op, NULL },    { "mark", mark_op, NULL },
    { "list_insert", list_op, NULL },    { "list_move", list_op, NULL },
    { "increment", increment_op, NULL },
};

static enum weir_status
step_run (struct weir_edit *edit, const json_t *json, struct weir_error *e)
{
    struct step s = { .op = json_string_value (json_object_get (json, "op")),
                      .path = json_string_value (json_object_get (json, "path")),
                      .from = json_string_value (json_object_get (json, "from")),
                      .value = json_object_get (json, "value"),
                      .json = json };
    size_t i = 0;
    size_t n = sizeof operations / sizeof *operations;
    while (i < n && (s.op == NULL || strcmp (s.op, operations[i].name) != 0)) {
        i++;
    }
    if (i == n) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT,
                               "RFC 6902, or text_insert, text_delete, text_update, mark, "
                               "list_insert, list_move, increment",
                               "\"op\" is missing or unknown");
    }
    if (s.path == NULL) {
        return missing ("path", e);
    }
    const char *needs = operations[i].needs;
    if (needs != NULL && (needs[0] == 'f' ? s.from == NULL : s.value == NULL)) {
        return missing (needs, e);
    }
    return operations[i].run (edit, &s, e);
}

enum weir_status
weir_edit_patch (struct weir_edit *self, const json_t *patch, struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    enum weir_status status = WEIR_OK;
    if (!json_is_array (patch)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "see RFC 6902",
                               "a JSON Patch is an array of operations");
    }
    if (json_array_size (patch) > WEIR_PATCH_OPS_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, NULL, "a patch has at most %u operations",
                               WEIR_PATCH_OPS_MAX);
    }
    for (size_t i = 0; i < json_array_size (patch) && status == WEIR_OK; i++) {
        struct weir_error why = { 0 };
        status = step_run (self, json_array_get (patch, i), &why);
        if (status != WEIR_OK) {
            (void) weir_error_set (e, status, weir_error_hint (&why), "operation %zu: %s", i,
                                   why.what);
        }
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}
