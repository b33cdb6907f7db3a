#ifndef WEIR_ACTORS_PEERS_HISTORY_H
#define WEIR_ACTORS_PEERS_HISTORY_H

/* What was synced with whom, and how fast: history.c. Files of the peers actor that tell of it or
 * show it include this beside state.h. */

#include "actors/peers/figures.h"
#include "actors/peers/state.h"

struct history_row {
    uint64_t number;     /* UINT64_MAX: it is open */
    uint64_t started_ms; /* unix */
    uint64_t ms;
    struct weir_id device;
    struct weir_id db;
    uint64_t out, in; /* entries */
    uint64_t out_bytes, in_bytes;
    uint64_t again;          /* entries that came and were held already */
    enum weir_status status; /* WEIR_PENDING: it went on in the next; WEIR_INTERRUPTED */
};
WEIR_MUST enum weir_status history_row_get (struct history_row *row, struct weir_bytes bytes);

void history_start (struct peers *p);
void history_stop (struct peers *p); /* closes what is open */

void history_sent (struct peers *p, const struct relation *r, uint64_t session, uint64_t transfer,
                   const struct weir_ranges *ranges);
void history_acked (struct peers *p, const struct relation *r, const Weir__TransferAcked *m);
void history_arrived (struct peers *p, const struct relation *r, const Weir__TransferArrived *m);
void history_failed (struct peers *p, const struct relation *r, enum weir_status status);
void history_session_down (struct peers *p, struct link *l); /* before the synchronizer hears it */
/* Entries that went to them since what is open began. */
uint64_t history_out_now (struct peers *p, const struct relation *r);

uint64_t history_now_us (void); /* monotonic */
/* NULL: none yet, and `make` was not asked. */
struct figures *history_figures (struct peers *p, const struct weir_id *device, bool make);
Weir__Figures *history_figures_make (struct peers *p, const struct weir_id *device,
                                     struct weir_arena *arena);

/* Every row that is written, then once more without a key: the end, and how it went. A row that
 * cannot be read comes as NULL. */
typedef void (history_rows_fn) (struct peers *p, void *context, struct weir_bytes key,
                                const struct history_row *row, enum weir_status status);
void history_read (struct peers *p, history_rows_fn *each, void *context);
void history_open_rows (struct peers *p, history_rows_fn *each, void *context); /* at once */

#endif
