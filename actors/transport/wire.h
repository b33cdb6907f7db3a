#ifndef WEIR_ACTORS_TRANSPORT_WIRE_H
#define WEIR_ACTORS_TRANSPORT_WIRE_H

/* What a message between nodes must look like before anything of it is believed, and frames'
 * compression. Pure but for zstd's working memory, which a codec owns. */

#include "protos/codec.h"

#define TRANSPORT_WIRE_KIND_MIN 600u
#define TRANSPORT_WIRE_KIND_MAX 699u

/* The three parts, checked: shape, kind, who may say it, sizes. WEIR_BAD_MESSAGE, WEIR_TOO_LARGE;
 * WEIR_UNKNOWN_KIND for one of a newer node (to be skipped); WEIR_NOT_PERMITTED_KIND for a kind
 * that does not travel between nodes. */
WEIR_MUST enum weir_status transport_wire_check (struct weir_bytes envelope, struct weir_bytes meta,
                                                 struct weir_bytes body, struct weir_envelope *e,
                                                 const struct weir_kind **kind);

/* Is this an address a link may be dialled at: "tcp://host:port", nothing else? (A card could
 * name ipc:// or inproc:// endpoints of our own.) */
bool transport_address_ok (const char *address);

struct transport_codec;
struct transport_codec *transport_codec_new (void);
void transport_codec_destroy (struct transport_codec **self_p);
/* The body as it travels: *frame's codec and bytes are set; what is returned is borrowed from
 * the codec or from `body`. Compressed only where that saves a tenth. */
struct weir_bytes transport_frame_pack (struct transport_codec *self, struct weir_bytes body,
                                        Weir__Frame *frame);
/* And back; *body is borrowed from the codec or from `wire`. WEIR_BAD_FRAME. */
WEIR_MUST enum weir_status transport_frame_unpack (struct transport_codec *self,
                                                   const Weir__Frame *frame, struct weir_bytes wire,
                                                   struct weir_bytes *body);
/* The same of a piece of a blob. */
WEIR_MUST enum weir_status transport_piece_unpack (struct transport_codec *self,
                                                   const Weir__BlobPiece *piece,
                                                   struct weir_bytes wire, struct weir_bytes *body);

#endif
