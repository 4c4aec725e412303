/*
 * SQLite VFS "kiseki": every page of a database and every WAL frame body is sealed (KEYS §3), and every
 * change is repeated on all members of a set of directories (STORE §1).
 *
 *   slots.c     keys in locked memory, derived keys by generation, sealing of one page
 *   members.c   a set of directories; one operation on all of them; loss of a member
 *   list.c      the member list that a loss writes
 *   node.c      one open file of a set, shared by all connections of the process
 *   pages.c     pages of a main file: read, heal, write
 *   frames.c    frames of a WAL: read, heal, write
 *   recover.c   what is done to a file of several members, and to a WAL, before its first use
 *   locks.c     locks and WAL index in memory of the process
 *   vfs.c       what SQLite calls
 *   commits.c   COMMIT and checkpoint in a thread of their own
 *   api.c       what TypeScript calls
 *
 * Names: `member` is an index into the set. Functions answer SQLite result codes unless said otherwise.
 */
#ifndef KISEKI_SEALED_SQLITE_H
#define KISEKI_SEALED_SQLITE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3ext.h>

#define EXPORTED __attribute__((visibility("default")))

enum {
  page_size = 4096,
  reserved_size = 32,
  content_size = page_size - reserved_size,
  nonce_size = 12,
  tag_size = 16,
  wal_header_size = 32,
  frame_header_size = 24,
  frame_size = page_size + frame_header_size,
  id_size = 16,
  members_max = 8,
  sets_max = 64,
  name_max = 160,
  batch_max = 64, /* pages or frames that are held back */
  buffer_max = batch_max * frame_size,
  shm_region_size = 32768,
  shm_regions_max = 4096,
  locks_count = 8,
};
#define GENERATION_SEALS_MAX (1u << 30)

/* ---- slots.c */
typedef struct {
  uint8_t file_id[id_size];
  uint32_t slot;
} KeySource;
/* What a page is bound to besides its file and generation; at most 32 bytes. */
typedef struct {
  uint8_t bytes[32];
  size_t size;
} Place;

int64_t slot_open(const uint8_t *page_key, const uint8_t *mask_key);
bool slot_close(uint32_t slot);
bool slot_is_open(uint32_t slot);
/* Fresh; bit 0 is clear. */
uint32_t generation_new(void);
/* Seals 4064 bytes of `plain` into 4096 of `sealed`; false when the slot is closed. May be in place. */
bool page_seal(const KeySource *source, uint32_t generation, const Place *place, const uint8_t *plain,
               uint8_t *sealed);
/* 1 opened (reserved bytes zero), 0 tag wrong (`plain` undefined), -1 slot closed. Not in place. */
int page_open(const KeySource *source, const Place *place, const uint8_t *sealed, uint8_t *plain);
uint32_t page_generation(const uint8_t *sealed);
/* First 8 bytes of HMAC-SHA-256(mask key, salts ‖ frame offset ‖ page number); false: slot closed. */
bool frame_mask(uint32_t slot, const uint8_t *salts, uint64_t offset, uint32_t page, uint8_t *mask);
Place page_place(uint32_t page);
Place frame_place(const uint8_t *header, const uint8_t *salts, uint64_t offset);

/* ---- members.c */
typedef struct Op Op;
typedef struct Job {
  struct Job *next;
  Op *op;
  int member;
} Job;
typedef struct {
  char *path;
  int directory; /* file descriptor */
  uint8_t id[id_size];
  pthread_t thread;
  bool has_thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  Job *first, **last;
  bool ending;
} Member;
typedef void (*LostCallback)(int member, int is_silent, int left);
typedef struct {
  int number;
  int count;
  Member members[members_max];
  _Atomic uint32_t live; /* bit per member */
  uint8_t id[id_size];
  _Atomic uint64_t version;
  char *note_path;
  int64_t silent_max; /* milliseconds */
  LostCallback on_lost;
  pthread_mutex_t loss;
  _Atomic uint64_t healed_pages, healed_frames, healed_files, damaged, seals;
  _Atomic int open_nodes;
} Set;

typedef enum {
  op_write, /* size bytes at offset */
  op_pages, /* offset: how many; data: their offsets, then the pages */
  op_truncate,
  op_sync,
  op_open,
  op_delete,
  op_rename,
  op_list,
} OpKind;
/* One act, the same on all members. Counted references: a silent member may hold it for ever. */
struct Op {
  _Atomic int references;
  OpKind kind;
  int flags;
  uint64_t offset;
  size_t size;
  char name[name_max], other[name_max];
  int fds[members_max];
  int errors[members_max]; /* errno; 0 done; -1 pending */
  int results[members_max]; /* descriptors that op_open made */
  int pending;
  bool is_abandoned;
  pthread_mutex_t mutex;
  pthread_cond_t done;
  Set *set;
  uint8_t data[];
};

Set *set_find(int number);
Set *set_new(int count);
void set_free(Set *set);
bool set_start(Set *set);
Op *op_new(Set *set, OpKind kind, size_t size);
void op_release(Op *op);
/* Runs `op` on the members of `mask`; answers those that failed or were silent, result codes in `op`. */
uint32_t set_dispatch(Set *set, Op *op, uint32_t mask, uint32_t *silent);
/* Runs `op` on all live members; those that fail are written out of the list first. */
int set_run(Set *set, Op *op);
/* Writes `failed` out of the list on the rest; SQLITE_IOERR when none is left. */
int set_lose(Set *set, uint32_t failed, uint32_t silent);
static inline uint32_t set_live(Set *set) { return atomic_load(&set->live); }
int member_act(Op *op, int member); /* errno */
bool read_fully(int fd, uint8_t *target, size_t size, uint64_t offset, size_t *got);

/* ---- list.c */
size_t list_encode(const Set *set, uint32_t live, uint64_t version, uint8_t *target);
enum { list_size_max = 64 + members_max * id_size };
int list_write(int directory, const uint8_t *list, size_t size, const uint8_t *self); /* errno */
int note_write(const char *path, const uint8_t *list, size_t size); /* errno */

/* ---- node.c */
typedef struct Node Node;
typedef struct {
  sqlite3_file base;
  Node *node;
  KeySource keys;
  bool is_full; /* SQLite syncs each commit itself */
  int level; /* of the SQLite lock held */
  uint16_t shm_shared, shm_exclusive;
  bool has_shm;
} File;
struct Node {
  Node *next;
  Set *set;
  char name[name_max];
  int references;
  bool is_wal;
  int fds[members_max];
  _Atomic uint64_t size; /* as SQLite knows it: with the buffer */
  pthread_mutex_t io;
  /* sealing */
  uint32_t generation;
  uint32_t generation_seals;
  uint8_t *buffer; /* what is held back */
  /* pages.c: until a sync, a full batch or a read */
  uint64_t batch[batch_max];
  _Atomic int batched;
  /* frames.c: until a sync, a full buffer, a commit frame or a read */
  size_t buffered;
  uint64_t buffer_offset;
  _Atomic uint64_t held_from; /* lowest offset held back; UINT64_MAX: none */
  uint8_t pending_header[frame_header_size];
  uint64_t pending_offset;
  bool has_pending, is_after_sync;
  uint8_t salts[8]; /* of the WAL's header */
  uint64_t end; /* behind the last frame under the salts in use */
  /* locks.c */
  pthread_mutex_t lock;
  int shared;
  const void *reserved, *pending, *exclusive; /* the connection */
  int shm_users;
  int lock_shared[locks_count];
  bool lock_exclusive[locks_count];
  uint8_t **regions;
  int region_count;
};
/* Opens or shares a file; the first opening makes its members equal. SQLITE_CANTOPEN: not there. */
int node_acquire(Set *set, const char *name, bool create, bool is_wal, const KeySource *keys, Node **result);
void node_release(Node *node);
int node_write(Node *node, const uint8_t *source, size_t size, uint64_t offset);
int node_truncate(Node *node, uint64_t size);
int node_write_pages(Node *node, int count);
/* Writes `size` bytes at `offset` first, when there are any. */
int node_sync(Node *node, const uint8_t *source, size_t size, uint64_t offset);
uint32_t node_generation(Node *node);
/* Raw bytes of one member; `got` short at its end, 0 on an error. */
size_t node_read(const Node *node, int member, uint8_t *target, size_t size, uint64_t offset);
/* Writes raw bytes on one member that lacks them. */
void node_repair(Node *node, int member, const uint8_t *source, size_t size, uint64_t offset);

/* ---- pages.c */
int main_read(File *file, uint8_t *target, int amount, uint64_t offset);
int main_write(File *file, const uint8_t *source, int amount, uint64_t offset);
int main_truncate(File *file, uint64_t size);
int main_sync(Node *node);
int main_scrub(Node *node, const KeySource *keys, uint32_t first, uint32_t count, uint64_t *found);
int main_flush(Node *node); /* under node->io */
/* ---- frames.c */
int wal_read(File *file, uint8_t *target, int amount, uint64_t offset);
int wal_write(File *file, const uint8_t *source, int amount, uint64_t offset);
int wal_sync(Node *node);
int wal_truncate(Node *node, uint64_t size);
int wal_flush(Node *node); /* under node->io */
/* ---- recover.c */
int main_recover(Node *node, const KeySource *keys);
int wal_recover(Node *node, const KeySource *keys);
/* ---- locks.c */
extern const sqlite3_io_methods kiseki_methods;
int locks_lock(File *file, int level);
int locks_unlock(File *file, int level);
int locks_is_reserved(File *file, int *result);
int shm_map(File *file, int region, int size, int extend, void volatile **result);
int shm_lock(File *file, int offset, int count, int flags);
void shm_unmap(File *file);
/* ---- vfs.c */
bool parse_file_id(const char *name, uint8_t *id);
/* ---- failpoint.c */
void failpoint(const char *name);

static inline uint32_t read_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void write_be32(uint8_t *p, uint32_t n) {
  p[0] = (uint8_t)(n >> 24), p[1] = (uint8_t)(n >> 16), p[2] = (uint8_t)(n >> 8), p[3] = (uint8_t)n;
}
static inline void write_le32(uint8_t *p, uint32_t n) {
  p[0] = (uint8_t)n, p[1] = (uint8_t)(n >> 8), p[2] = (uint8_t)(n >> 16), p[3] = (uint8_t)(n >> 24);
}
static inline uint32_t read_le32(const uint8_t *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void write_le64(uint8_t *p, uint64_t n) {
  write_le32(p, (uint32_t)n), write_le32(p + 4, (uint32_t)(n >> 32));
}

/* ---- commits.c */
typedef struct Committer Committer;
typedef void (*DoneCallback)(void);
void committer_loaded(sqlite3 *database);
Committer *committer_open(void);
void committer_close(Committer *committer);
bool committer_start(Committer *committer, int act, DoneCallback done);
int committer_result(const Committer *committer);
int committer_frames(const Committer *committer);

#endif
