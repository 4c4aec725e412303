/* The native data path: an arena, a pool of threads, job records in shared memory, devices (DESIGN.md §5).
 *
 * TypeScript decides, this moves bytes. Every number that comes out of a record is checked here before it is used:
 * a hostile record may get an error, never a byte outside the arena and its own record. Layout of records: the
 * structs below, mirrored by src/record.ts, both under DATAPATH_ABI. */
#ifndef KISEKI_DATAPATH_H
#define KISEKI_DATAPATH_H
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

enum {
  DATAPATH_ABI = 6,
  PAGE_SIZE = 4096,
  SEGMENT_SIZE = 65536,
  NONCE_SIZE = 12,
  TAG_SIZE = 16,
  SEGMENT_OVERHEAD = NONCE_SIZE + TAG_SIZE,
  SEALED_SEGMENT_SIZE = SEGMENT_SIZE + SEGMENT_OVERHEAD,
  CHUNK_SIZE_MAX = 4 << 20,
  SEALED_SIZE_MAX = CHUNK_SIZE_MAX / SEGMENT_SIZE * SEALED_SEGMENT_SIZE,
  FRAGMENTS_MAX = 16,
  HEADER_SIZE_MAX = 512,
  RANGES_MAX = 128,
  RECORDS = 512, /* of one context */
  CONTEXTS_MAX = 64,
  DEVICES_MAX = 256,
  HASH_STATES_MAX = 8192,
  THREADS_MAX = 256,
  SCRATCH_SIZE = 16 << 20, /* of one thread: ciphertext of one chunk with all parity, and what is decoded */
};

enum job_kind {
  JOB_HASH = 1, JOB_SEAL, JOB_OPEN, JOB_REBUILD, JOB_VERIFY, JOB_APPEND, JOB_READ, JOB_DEVICE_OPEN, JOB_DEVICE_CLOSE, JOB_UNSEAL,
  JOB_CODE, JOB_FETCH, JOB_DISCARD,
};
enum status { STATUS_OK, STATUS_IO, STATUS_NO_SPACE, STATUS_CLOSED, STATUS_BAD_ARGUMENT, STATUS_BUSY };
enum outcome { OUTCOME_DONE, OUTCOME_LOST, OUTCOME_TAMPERED };
enum fault { FAULT_NONE, FAULT_IO, FAULT_HEADER, FAULT_CRC, FAULT_TAG };
enum flag { FLAG_SYNC = 1, FLAG_OWN = 2, FLAG_DIRECT = 4, FLAG_READ_ONLY = 8, FLAG_STATE = 16, FLAG_CACHED = 32, FLAG_VERIFY = 64, FLAG_OUTSIDE = 128, FLAG_BLOCK = 256 };
enum hash_algorithm { HASH_MD5 = 1, HASH_SHA256 = 2, HASH_SHA1 = 4, HASH_CRC32 = 8, HASH_CRC32C = 16, HASH_CRC64NVME = 32, HASH_ALL = 63 };

struct fragment { /* a source of open, rebuild, verify; `fault` is the answer */
  uint32_t index, device;
  uint64_t offset;
  uint32_t size, crc, header_size, fault;
  uint8_t reserved[32];
};
struct range { uint64_t offset, size; };
struct made { uint32_t offset, size, crc, reserved; }; /* a fragment in the target of seal and rebuild */

struct record {
  uint32_t kind, status, error, outcome;
  uint64_t source_offset, source_size, target_offset, target_size;
  uint32_t chunk_size, data, parity, copies; /* data 0: copies */
  uint32_t header_room, segment_first, segment_end, fragment_count;
  uint32_t device, flags, state, range_count;
  uint64_t device_offset, device_size;
  uint32_t wanted; /* bit set of fragment numbers */
  uint32_t coding_us, write_us, sync_us; /* answers: how long coding, writing and syncing took */
  uint8_t dek[32], chunk_id[32], seal_id[16];
  uint8_t digest[96];
  struct made made[FRAGMENTS_MAX];
  uint8_t padding[1024 - 560];
  struct fragment fragments[FRAGMENTS_MAX];
  struct range ranges[RANGES_MAX];
  uint8_t headers[FRAGMENTS_MAX][HEADER_SIZE_MAX]; /* of a device to open: its path, ended by NUL */
};
_Static_assert(sizeof(struct fragment) == 64 && offsetof(struct record, fragments) == 1024, "record layout");
_Static_assert(offsetof(struct record, headers) == 4096 && sizeof(struct record) == 12288, "record layout");

/* --- arena.c: pages of one mapping, lent in runs --------------------------------------------------------------------- */
struct arena;
struct arena *arena_open(uint64_t size, int lock);
void arena_close(struct arena *arena);
uint8_t *arena_base(const struct arena *arena);
uint64_t arena_size(const struct arena *arena);
uint64_t arena_lent(struct arena *arena);
/* Offset of a run of at least `size` bytes, or -1. */
int64_t arena_lend(struct arena *arena, uint64_t size);
/* 0, or -1 when that was not lent. */
int arena_give_back(struct arena *arena, uint64_t offset);
/* The address of [offset, offset + size), or NULL when any of it lies outside. */
uint8_t *arena_at(const struct arena *arena, uint64_t offset, uint64_t size);
/* `size` zeroed bytes that no core dump holds; NULL when there is no memory. */
void *secret_pages(size_t size);

/* --- device.c ------------------------------------------------------------------------------------------------------------- */
struct devices;
struct devices *devices_open(void);
void devices_close(struct devices *devices);
void device_open_job(struct devices *devices, struct record *record);
void device_close_job(struct devices *devices, struct record *record);
void append_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch);
void read_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch);
void discard_job(struct devices *devices, struct record *record);
/* Reads [offset, offset + size) of a device somewhere into `room`, which holds size + 2 pages and is page-aligned.
 * The address of the bytes, or NULL: device closed, read failed, end reached. `only_cached`: what would have to wait for
 * the device is not read, and errno is EAGAIN. */
uint8_t *device_fetch(struct devices *devices, uint32_t slot, uint64_t offset, size_t size, uint8_t *room, int only_cached);

/* --- hash.c --------------------------------------------------------------------------------------------------------------- */
struct hash_states;
struct hash_states *hash_states_open(void);
void hash_states_close(struct hash_states *states);
int32_t hash_state_take(struct hash_states *states, uint32_t algorithms);
int hash_state_free(struct hash_states *states, uint32_t state);
void hash_job(struct hash_states *states, struct arena *arena, struct record *record);
/* md5 16, sha256 32, sha1 20, crc32 4, crc32c 4, crc64nvme 8 bytes, big-endian, in this order into record->digest. */
void hash_digest(struct hash_states *states, struct record *record);
uint32_t crc32c(const uint8_t *source, size_t size);

/* --- geometry and cipher of a chunk: chunk.c ------------------------------------------------------------------------------ */
struct geometry {
  uint32_t size, segments, sealed; /* plaintext bytes, segments, sealed bytes */
  uint32_t data, parity, total;    /* fragments; copies: data 1, parity 0, total copies */
  uint32_t fragment, stride;       /* bytes of a whole fragment and from one to the next in a target */
  int copies;
};
/* 0, or -1 when the record's chunk_size, profile or header_room is out of range. */
int geometry_of(const struct record *record, struct geometry *geometry);
uint32_t stored_size(const struct geometry *geometry, uint32_t index);
uint32_t segment_plain_size(const struct geometry *geometry, uint32_t segment);

struct sealer; /* an AES-256-GCM key at work */
struct sealer *sealer_open(struct record *record); /* takes the key out of the record and wipes it there */
void sealer_close(struct sealer *sealer);
int seal_segment(struct sealer *sealer, const struct geometry *geometry, uint32_t segment, const uint8_t *plain, uint8_t *target);
/* 0, or -1 when nonce or tag is wrong; `plain` is then zeros. */
int open_segment(struct sealer *sealer, const struct geometry *geometry, uint32_t segment, const uint8_t *sealed, uint8_t *plain);

/* --- jobs ----------------------------------------------------------------------------------------------------------------- */
void seal_job(struct arena *arena, struct record *record, uint8_t *scratch);
void unseal_job(struct arena *arena, struct record *record);
void code_job(struct arena *arena, struct record *record);
void open_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch);
void fetch_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch);
void rebuild_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch);
void verify_job(struct devices *devices, struct record *record, uint8_t *scratch);

static inline uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint32_t micros_since(uint64_t start) {
  uint64_t micros = (monotonic_ns() - start + 500) / 1000;
  return micros > UINT32_MAX ? UINT32_MAX : (uint32_t)micros;
}

static inline void fail(struct record *record, enum status status, int error) {
  record->status = status;
  record->error = (uint32_t)error;
}
static inline uint64_t round_up(uint64_t n, uint64_t step) { return (n + step - 1) / step * step; }
#endif
