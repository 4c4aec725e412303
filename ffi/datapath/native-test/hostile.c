/* Random and hostile records against the library under ASan and UBSan: hostile.c SEED COUNT.
 *
 * Each round takes a record that would work, changes a few words of it, runs it, and checks that nothing outside the
 * target changed. Addresses outside the arena would end the process. */
#include "datapath.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARENA_SIZE = 16 << 20, DEVICE_SIZE = 8 << 20, DEVICES = 11, TARGET = 6 << 20, TARGET_SIZE = 9 << 20, HEADER_SIZE = 192 };

struct datapath;
struct context;
uint32_t kiseki_datapath_abi(void);
struct datapath *kiseki_datapath_open(uint64_t arena_size, uint32_t compute, uint32_t device, uint32_t lock);
int32_t kiseki_datapath_close(struct datapath *datapath);
struct context *kiseki_datapath_attach(struct datapath *datapath, void (*callback)(void));
uint32_t kiseki_datapath_detach(struct context *context);
struct record *kiseki_datapath_records(struct context *context);
uint8_t *kiseki_datapath_arena(struct datapath *datapath);
int32_t kiseki_datapath_submit(struct context *context, uint32_t record);
uint32_t kiseki_datapath_drain(struct context *context);
int32_t kiseki_datapath_hash_open(struct datapath *datapath, uint32_t algorithms);
int32_t kiseki_datapath_hash_close(struct datapath *datapath, uint32_t state);
double kiseki_datapath_lend(struct datapath *datapath, double size);
int32_t kiseki_datapath_give_back(struct context *context, double offset);

#define MUST(holds) \
  do { \
    if (!(holds)) { \
      fprintf(stderr, "line %d: must hold: %s\n", __LINE__, #holds); \
      abort(); \
    } \
  } while (0)

static sem_t called;
static void callback(void) { sem_post(&called); }

/* Takes the place of the system's: the only way to see a failing sync without a failing disk. */
static int sync_error, syncs;
int fdatasync(int fd) {
  (void)fd;
  syncs++;
  errno = sync_error;
  return sync_error == 0 ? 0 : -1;
}

struct world {
  struct datapath *datapath;
  struct context *context;
  struct record *record, good;
  uint8_t *arena, *before;
  uint32_t slots[DEVICES];
  uint64_t state;
};

static uint32_t chance(struct world *world, uint32_t bound) { /* xorshift64* */
  world->state ^= world->state >> 12;
  world->state ^= world->state << 25;
  world->state ^= world->state >> 27;
  return (uint32_t)((world->state * 0x2545f4914f6cdd1du) >> 33) % bound;
}

static void run(struct world *world) {
  MUST(kiseki_datapath_submit(world->context, 0) == 0);
  sem_wait(&called);
  kiseki_datapath_drain(world->context);
  for (size_t i = 0; i < sizeof world->record->dek; i++)
    MUST(world->record->dek[i] == 0);
}

static void open_devices(struct world *world) {
  for (int i = 0; i < DEVICES; i++) {
    int fd = memfd_create("device", 0);
    MUST(fd >= 0 && ftruncate(fd, DEVICE_SIZE) == 0);
    memset(world->record, 0, sizeof *world->record);
    world->record->kind = JOB_DEVICE_OPEN;
    snprintf((char *)world->record->headers, 64, "/proc/self/fd/%d", fd);
    run(world);
    MUST(world->record->status == STATUS_OK && world->record->device_size == DEVICE_SIZE);
    world->slots[i] = world->record->device;
    close(fd);
  }
}

static void set_chunk(struct world *world, struct record *record, uint32_t kind) {
  static const uint32_t profiles[][3] = {{0, 0, 1}, {0, 0, 3}, {2, 1, 0}, {3, 1, 0}, {3, 2, 0}, {4, 2, 0}, {8, 3, 0}};
  static const uint32_t sizes[] = {1, 5000, 65536, 65537, 300000, 1000000, CHUNK_SIZE_MAX};
  const uint32_t *profile = profiles[chance(world, 7)];
  memset(record, 0, sizeof *record);
  record->kind = kind;
  record->data = profile[0];
  record->parity = profile[1];
  record->copies = profile[2];
  record->chunk_size = sizes[chance(world, 7)];
  record->source_size = record->chunk_size;
  record->header_room = HEADER_SIZE;
  record->target_offset = TARGET;
  record->target_size = TARGET_SIZE;
  memset(record->dek, 7, sizeof record->dek);
}

/* Seals a chunk, writes its fragments to the devices, and leaves a record that opens it in world->good. */
static void store_chunk(struct world *world) {
  struct record *record = world->record;
  set_chunk(world, record, JOB_SEAL);
  struct record good = *record;
  run(world);
  MUST(record->status == STATUS_OK);
  struct made made[FRAGMENTS_MAX];
  memcpy(made, record->made, sizeof made);
  uint32_t total = good.data ? good.data + good.parity : good.copies;
  good.fragment_count = total;
  for (uint32_t i = 0; i < total; i++) {
    struct made *from = &made[good.data ? i : 0];
    memset(world->arena + TARGET + from->offset - HEADER_SIZE, (int)i + 1, HEADER_SIZE);
    memset(record, 0, sizeof *record);
    record->kind = JOB_APPEND;
    record->device = world->slots[i];
    record->range_count = 1;
    record->flags = FLAG_SYNC;
    record->ranges[0] = (struct range){TARGET + from->offset - HEADER_SIZE, from->size + HEADER_SIZE};
    run(world);
    MUST(record->status == STATUS_OK);
    good.fragments[i] = (struct fragment){.index = i, .device = world->slots[i], .offset = HEADER_SIZE, .size = from->size,
                                          .crc = from->crc, .header_size = HEADER_SIZE};
    memset(good.headers[i], (int)i + 1, HEADER_SIZE);
  }
  good.segment_end = (good.chunk_size + SEGMENT_SIZE - 1) / SEGMENT_SIZE;
  good.wanted = 1u << chance(world, total);
  good.kind = JOB_OPEN;
  good.target_size = CHUNK_SIZE_MAX;
  world->good = good;
  *record = good;
  run(world);
  MUST(record->status == STATUS_OK && record->outcome == OUTCOME_DONE);
  MUST(memcmp(world->arena + TARGET, world->arena, good.chunk_size) == 0);
}

static uint32_t odd_number(struct world *world) {
  static const uint32_t numbers[] = {0, 1, 2, 3, 15, 16, 17, 28, 63, 64, 65, 128, 129, 511, 512, 513, 4096, 65535, 65536, 65537,
                                     65564, CHUNK_SIZE_MAX, CHUNK_SIZE_MAX + 1, ARENA_SIZE - 1, ARENA_SIZE, ARENA_SIZE + 1,
                                     DEVICE_SIZE, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
  return chance(world, 3) ? numbers[chance(world, sizeof numbers / sizeof *numbers)] : chance(world, 0x7fffffff);
}

/* Changes words of the numbers, the sources or the ranges; kind and target stay, so that writes can be checked. */
static void spoil(struct world *world, struct record *record) {
  uint32_t *words = (uint32_t *)record, count = 1 + chance(world, 3);
  while (count-- > 0) {
    uint32_t at;
    switch (chance(world, 4)) {
      case 0: at = 256 + chance(world, 16 * world->good.fragment_count); break;
      case 1: at = 512 + chance(world, 16); break;
      default: at = 4 + chance(world, 25); break;
    }
    words[at] = chance(world, 4) ? odd_number(world) : words[at] ^ 1u << chance(world, 32);
  }
  record->flags &= ~(uint32_t)FLAG_OUTSIDE; /* an address: its array is the caller's word alone */
}

static void check_outside(struct world *world, const struct record *asked) {
  uint64_t start = asked->target_offset, size = asked->target_size;
  int writes = asked->kind == JOB_SEAL || asked->kind == JOB_OPEN || asked->kind == JOB_REBUILD || asked->kind == JOB_READ ||
               asked->kind == JOB_UNSEAL || asked->kind == JOB_CODE || asked->kind == JOB_FETCH;
  if (!writes || start > ARENA_SIZE || size > ARENA_SIZE - start) start = size = 0;
  MUST(memcmp(world->arena, world->before, start) == 0);
  MUST(memcmp(world->arena + start + size, world->before + start + size, ARENA_SIZE - start - size) == 0);
  memcpy(world->before + start, world->arena + start, size);
}

/* Seals a chunk as a client does, unseals some of its segments, then the same with the record or the sealed bytes spoilt. */
static void unseal_round(struct world *world) {
  struct record *record = world->record, asked;
  set_chunk(world, record, JOB_SEAL);
  record->data = record->parity = record->header_room = 0;
  record->copies = 1;
  struct record sealed = *record;
  run(world);
  MUST(record->status == STATUS_OK && record->made[0].offset == 0);
  uint32_t segments = (sealed.chunk_size + SEGMENT_SIZE - 1) / SEGMENT_SIZE, first = chance(world, segments);
  uint32_t end = first + 1 + chance(world, segments - first), to = end * SEGMENT_SIZE;
  uint32_t size = (to < sealed.chunk_size ? to : sealed.chunk_size) - first * SEGMENT_SIZE;
  asked = sealed;
  asked.kind = JOB_UNSEAL;
  asked.segment_first = first;
  asked.segment_end = end;
  asked.source_offset = TARGET + (uint64_t)first * SEALED_SEGMENT_SIZE;
  asked.source_size = size + (end - first) * SEGMENT_OVERHEAD;
  asked.target_offset = TARGET + SEALED_SIZE_MAX;
  asked.target_size = size;
  memcpy(world->before, world->arena, ARENA_SIZE);
  *record = asked;
  run(world);
  MUST(record->status == STATUS_OK && record->outcome == OUTCOME_DONE);
  MUST(memcmp(world->arena + asked.target_offset, world->arena + (size_t)first * SEGMENT_SIZE, size) == 0);
  check_outside(world, &asked);
  if (chance(world, 2)) world->arena[asked.source_offset + chance(world, (uint32_t)asked.source_size)] ^= 1;
  else spoil(world, &asked);
  memcpy(world->before, world->arena, ARENA_SIZE);
  *record = asked;
  run(world);
  MUST(record->status != STATUS_OK || record->outcome != OUTCOME_LOST);
  check_outside(world, &asked);
}

static void one_round(struct world *world) {
  static const uint32_t kinds[] = {JOB_HASH,   JOB_SEAL,   JOB_CODE,  JOB_OPEN, JOB_OPEN, JOB_OPEN, JOB_FETCH, JOB_FETCH,
                                   JOB_REBUILD, JOB_REBUILD, JOB_VERIFY, JOB_APPEND, JOB_READ, JOB_DISCARD};
  struct record asked = world->good;
  asked.kind = kinds[chance(world, sizeof kinds / sizeof *kinds)];
  asked.flags = chance(world, 32) | (chance(world, 2) ? FLAG_VERIFY : 0);
  asked.device = world->slots[chance(world, DEVICES)];
  asked.device_offset = chance(world, DEVICE_SIZE);
  asked.range_count = 1 + chance(world, 3);
  for (uint32_t i = 0; i < 4; i++) asked.ranges[i] = (struct range){chance(world, 1 << 20), 1 + chance(world, 5000)};
  if (asked.kind == JOB_READ) asked.target_size = chance(world, 100000);
  if (asked.kind == JOB_CODE)
    asked.source_size = asked.chunk_size + (asked.chunk_size + SEGMENT_SIZE - 1) / SEGMENT_SIZE * SEGMENT_OVERHEAD;
  if (asked.kind == JOB_FETCH) asked.target_size = SEALED_SIZE_MAX;
  if (asked.kind == JOB_SEAL || asked.kind == JOB_CODE || asked.kind == JOB_REBUILD) asked.target_size = TARGET_SIZE;
  if (asked.kind == JOB_APPEND && chance(world, 2)) asked.device_offset = 0; /* damages the stored chunk */
  spoil(world, &asked);
  if (chance(world, 50) == 0) asked.kind = odd_number(world) | 16; /* no such job */
  *world->record = asked;
  run(world);
  check_outside(world, &asked);
}

static void arena_rounds(struct world *world) {
  double held[64];
  for (int i = 0; i < 64; i++) held[i] = -1;
  for (int round = 0; round < 20000; round++) {
    int i = (int)chance(world, 64);
    if (held[i] >= 0) MUST(kiseki_datapath_give_back(world->context, held[i]) == 0);
    held[i] = kiseki_datapath_lend(world->datapath, 1 + chance(world, 1u << (1 + chance(world, 20))));
    MUST(kiseki_datapath_give_back(world->context, (double)(odd_number(world) | 1)) != 0); /* no page begins there */
  }
  for (int i = 0; i < 64; i++)
    if (held[i] >= 0) MUST(kiseki_datapath_give_back(world->context, held[i]) == 0);
  MUST(kiseki_datapath_lend(world->datapath, ARENA_SIZE) == 0);
}

static uint32_t append(struct world *world, uint32_t device) {
  memset(world->record, 0, sizeof *world->record);
  world->record->kind = JOB_APPEND;
  world->record->device = device;
  world->record->range_count = 1;
  world->record->flags = FLAG_SYNC;
  world->record->ranges[0] = (struct range){0, PAGE_SIZE};
  run(world);
  return world->record->status;
}

/* One failed sync fails the device for good, and no other one. */
static void failed_sync(struct world *world) {
  MUST(append(world, world->slots[0]) == STATUS_OK);
  sync_error = ENOSPC;
  MUST(append(world, world->slots[0]) == STATUS_IO && world->record->error == ENOSPC);
  sync_error = 0;
  int before = syncs;
  MUST(append(world, world->slots[0]) == STATUS_IO && world->record->error == EIO && syncs == before);
  MUST(append(world, world->slots[1]) == STATUS_OK && syncs == before + 1);
}

int main(int count, char **words) {
  if (count != 3 || kiseki_datapath_abi() != DATAPATH_ABI) return 2;
  static struct world world;
  world.state = strtoull(words[1], NULL, 10) * 2 + 1;
  sem_init(&called, 0, 0);
  world.datapath = kiseki_datapath_open(ARENA_SIZE, 1, 2, 0);
  world.context = kiseki_datapath_attach(world.datapath, callback);
  world.record = kiseki_datapath_records(world.context);
  world.arena = kiseki_datapath_arena(world.datapath);
  world.before = malloc(ARENA_SIZE);
  for (uint32_t i = 0; i < ARENA_SIZE; i++) world.arena[i] = (uint8_t)chance(&world, 256);
  kiseki_datapath_hash_open(world.datapath, HASH_ALL);
  open_devices(&world);
  for (long round = 0, rounds = strtol(words[2], NULL, 10); round < rounds; round++) {
    if (round % 20 == 0) {
      store_chunk(&world);
      memcpy(world.before, world.arena, ARENA_SIZE);
    }
    one_round(&world);
    if (round % 5 == 0) unseal_round(&world);
  }
  for (uint32_t i = 0; i < 100; i++) kiseki_datapath_hash_close(world.datapath, odd_number(&world));
  failed_sync(&world);
  arena_rounds(&world);
  MUST(kiseki_datapath_close(world.datapath) != 0);
  MUST(kiseki_datapath_detach(world.context) == 0);
  MUST(kiseki_datapath_close(world.datapath) == 0);
  free(world.before);
  return 0;
}
