/* Goal: data of a newer layout are refused with exit code 76 and left as they are: the same data,
 * with the version put back, open again with all that was in them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/kv/kv.h"
#include "store/repo/keys.h"
#include "store/repo/repo.h"
#include "tests/integration/node.h"

static void
set_version (const struct node *n, uint32_t version)
{
    struct weir_kv *kv = NULL;
    struct weir_error e = { 0 };
    struct weir_buf row = { 0 };
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_LAYOUT);
    if (weir_kv_open (&kv, n->paths.db, false, &e) != WEIR_OK
        || weir_kv_get (kv, weir_repo_key_bytes (&key), &row) != WEIR_OK) {
        node_die ("the store does not open: %s", e.what);
    }
    struct weir_kv_batch *batch = weir_kv_batch_new ();
    weir_store_u32 (row.data, version);
    weir_kv_put (batch, weir_repo_key_bytes (&key), weir_buf_bytes (&row));
    if (weir_kv_wait (kv, weir_kv_write (kv, &batch)) != WEIR_OK) {
        node_die ("the row cannot be written");
    }
    weir_buf_fini (&row);
    weir_kv_close (&kv);
}

/* Runs the broker to its end; its exit code. */
static int
run_to_the_end (const struct node *n)
{
    char command[700];
    const char *bin = getenv ("WEIR_BIN");
    snprintf (command, sizeof command, "%s/weir-broker", bin != NULL ? bin : "build/bin");
    pid_t pid = fork ();
    if (pid == 0) {
        alarm (20);
        execl (command, "weir-broker", "--data", n->data, (char *) NULL);
        _exit (127);
    }
    int status = 0;
    waitpid (pid, &status, 0);
    return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

int
main (void)
{
    struct node n;
    uint64_t before = 0;
    uint64_t after = 0;
    node_init (&n, "node", "leaf");
    node_start (&n, NULL);
    node_create_db (&n, "notes");
    struct weir_id digest = node_digest (&n, "notes", &before);
    if (node_stop (&n) != 0) {
        node_die ("the node did not stop in order");
    }
    set_version (&n, WEIR_LAYOUT_VERSION + 1);
    int code = run_to_the_end (&n);
    if (code != 76) {
        node_die ("a newer layout ended with %d, not 76", code);
    }
    set_version (&n, WEIR_LAYOUT_VERSION);
    node_start (&n, NULL);
    struct weir_id again = node_digest (&n, "notes", &after);
    if (!weir_id_equal (&digest, &again) || before != after) {
        node_die ("the data changed");
    }
    if (node_stop (&n) != 0) {
        node_die ("the node did not stop in order");
    }
    node_end ();
    puts ("a newer layout is refused and left alone");
    return 0;
}
