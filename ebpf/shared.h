/* What both sides see: the program in the kernel and src/bpf.rs. Keep the two in step.
 * Knows nothing of SIP. */
#ifndef SIPEDGE_SHARED_H
#define SIPEDGE_SHARED_H

/* One base64 digit names a shard. */
#define SHARDS_MAX 64

/* How a shard was picked: the places of the `picks` map. */
enum pick {
	PICK_MARK,    /* our own mark named it */
	PICK_CALL_ID, /* the hash of the Call-ID */
	PICK_NONE,    /* neither was found: the kernel's own hash */
	PICK_REFUSED, /* found, but that shard has no socket: the kernel's own hash */
	PICKS
};

#endif
