/* Keys in locked memory, and the sealing of one page. */
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>

#include <openssl/aead.h>
#include <openssl/hkdf.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include "sealed-sqlite.h"

enum { slots_max = 16384, keys_max = 1024, serial_shift = 14 };
_Static_assert(slots_max == 1 << serial_shift, "a slot's number is serial and index");

typedef struct {
  uint8_t page_key[32], mask_key[32];
} Keys;
typedef struct {
  alignas(16) EVP_AEAD_CTX context;
  uint8_t file_id[id_size];
  uint32_t slot, generation;
  bool is_used;
} DerivedKey;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Keys *keys;          /* slots_max, locked */
static DerivedKey *derived; /* keys_max, locked; by hash, the newest wins */
static uint32_t numbers[slots_max]; /* the open slot's number, 0 when free */
static uint32_t serial;
static uint32_t next_index;

static void *locked_memory(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  if (mlock2(memory, size, MLOCK_ONFAULT) != 0 || madvise(memory, size, MADV_DONTDUMP) != 0 ||
      madvise(memory, size, MADV_DONTFORK) != 0) {
    munmap(memory, size);
    return NULL;
  }
  return memory;
}

/* Under `mutex`. */
static bool prepare(void) {
  if (!keys) keys = locked_memory(slots_max * sizeof *keys);
  if (!derived) derived = locked_memory(keys_max * sizeof *derived);
  return keys && derived;
}

/* The new slot's number, or -1 when memory cannot be locked, -2 when all are taken. */
int64_t slot_open(const uint8_t *page_key, const uint8_t *mask_key) {
  pthread_mutex_lock(&mutex);
  int64_t result = prepare() ? -2 : -1;
  for (uint32_t tries = 0; result == -2 && tries < slots_max; tries++) {
    uint32_t index = next_index++ & (slots_max - 1);
    if (numbers[index]) continue;
    if (index == 0 || serial == 0) serial++;
    numbers[index] = serial << serial_shift | index;
    memcpy(keys[index].page_key, page_key, 32);
    memcpy(keys[index].mask_key, mask_key, 32);
    result = numbers[index];
  }
  pthread_mutex_unlock(&mutex);
  return result;
}

static bool is_open(uint32_t slot) { return slot && numbers[slot & (slots_max - 1)] == slot; }

bool slot_is_open(uint32_t slot) {
  pthread_mutex_lock(&mutex);
  bool result = is_open(slot);
  pthread_mutex_unlock(&mutex);
  return result;
}

bool slot_close(uint32_t slot) {
  pthread_mutex_lock(&mutex);
  bool was_open = is_open(slot);
  if (was_open) {
    OPENSSL_cleanse(&keys[slot & (slots_max - 1)], sizeof *keys);
    numbers[slot & (slots_max - 1)] = 0;
    for (int i = 0; i < keys_max; i++)
      if (derived[i].is_used && derived[i].slot == slot) OPENSSL_cleanse(&derived[i], sizeof derived[i]);
  }
  pthread_mutex_unlock(&mutex);
  return was_open;
}

uint32_t generation_new(void) {
  uint32_t generation;
  do RAND_bytes((uint8_t *)&generation, sizeof generation);
  while (generation < 2);
  return generation & ~1u;
}

/* Label ‖ for each field its size ‖ field, little-endian (KEYS: how ids go into HKDF's info). */
static size_t info_encode(uint8_t *target, const uint8_t *file_id, uint32_t generation) {
  static const char label[] = "kiseki/page-generation/v1";
  uint8_t *p = target;
  memcpy(p, label, sizeof label - 1), p += sizeof label - 1;
  write_le32(p, id_size), p += 4;
  memcpy(p, file_id, id_size), p += id_size;
  write_le32(p, 4), p += 4;
  write_le32(p, generation), p += 4;
  return (size_t)(p - target);
}

/* A copy of the key of (slot, file, generation without bit 0); the caller cleanses it. */
static bool derive(const KeySource *source, uint32_t generation, EVP_AEAD_CTX *copy) {
  generation &= ~1u;
  uint32_t hash = (generation ^ source->slot * 2654435761u ^ read_le32(source->file_id)) * 2654435761u;
  pthread_mutex_lock(&mutex);
  bool result = is_open(source->slot);
  if (result) {
    DerivedKey *entry = &derived[hash >> 22];
    if (!entry->is_used || entry->slot != source->slot || entry->generation != generation ||
        memcmp(entry->file_id, source->file_id, id_size) != 0) {
      uint8_t info[64], key[32];
      size_t size = info_encode(info, source->file_id, generation);
      OPENSSL_cleanse(entry, sizeof *entry);
      result = HKDF_expand(key, 32, EVP_sha256(), keys[source->slot & (slots_max - 1)].page_key, 32, info, size) &&
               EVP_AEAD_CTX_init(&entry->context, EVP_aead_aes_256_gcm_randnonce(), key, 32,
                                 tag_size + nonce_size, NULL);
      OPENSSL_cleanse(key, sizeof key);
      entry->is_used = result;
      entry->slot = source->slot, entry->generation = generation;
      memcpy(entry->file_id, source->file_id, id_size);
    }
    if (result) memcpy(copy, &entry->context, sizeof *copy);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}
_Static_assert(keys_max == 1 << 10, "the upper 10 bits of the hash choose");

/* AAD = file id ‖ generation ‖ place. */
static size_t aad_encode(uint8_t *target, const uint8_t *file_id, uint32_t generation, const Place *place) {
  memcpy(target, file_id, id_size);
  write_le32(target + id_size, generation);
  memcpy(target + id_size + 4, place->bytes, place->size);
  return id_size + 4 + place->size;
}

uint32_t page_generation(const uint8_t *sealed) { return read_le32(sealed + page_size - 4); }

/* Stored: ciphertext(4064) ‖ nonce(12) ‖ tag(16) ‖ generation(4). The module makes the nonce (KEYS §6). */
bool page_seal(const KeySource *source, uint32_t generation, const Place *place, const uint8_t *plain,
               uint8_t *sealed) {
  alignas(16) EVP_AEAD_CTX context;
  if (!derive(source, generation, &context)) return false;
  uint8_t aad[64], tail[tag_size + nonce_size];
  size_t aad_size = aad_encode(aad, source->file_id, generation, place), tail_size = 0;
  bool result = EVP_AEAD_CTX_seal_scatter(&context, sealed, tail, &tail_size, sizeof tail, NULL, 0, plain,
                                          content_size, NULL, 0, aad, aad_size) &&
                tail_size == sizeof tail;
  OPENSSL_cleanse(&context, sizeof context);
  memcpy(sealed + content_size, tail + tag_size, nonce_size);
  memcpy(sealed + content_size + nonce_size, tail, tag_size);
  write_le32(sealed + page_size - 4, generation);
  return result;
}

int page_open(const KeySource *source, const Place *place, const uint8_t *sealed, uint8_t *plain) {
  alignas(16) EVP_AEAD_CTX context;
  uint32_t generation = page_generation(sealed);
  if (!derive(source, generation, &context)) return -1;
  uint8_t aad[64], tail[tag_size + nonce_size];
  size_t aad_size = aad_encode(aad, source->file_id, generation, place);
  memcpy(tail, sealed + content_size + nonce_size, tag_size);
  memcpy(tail + tag_size, sealed + content_size, nonce_size);
  int result = EVP_AEAD_CTX_open_gather(&context, plain, NULL, 0, sealed, content_size, tail, sizeof tail, aad,
                                        aad_size);
  OPENSSL_cleanse(&context, sizeof context);
  if (result) memset(plain + content_size, 0, reserved_size);
  return result ? 1 : 0;
}

bool frame_mask(uint32_t slot, const uint8_t *salts, uint64_t offset, uint32_t page, uint8_t *mask) {
  uint8_t message[20], full[32], key[32];
  unsigned size = 0;
  memcpy(message, salts, 8);
  write_be32(message + 8, (uint32_t)(offset >> 32)), write_be32(message + 12, (uint32_t)offset);
  write_be32(message + 16, page);
  pthread_mutex_lock(&mutex);
  bool result = is_open(slot);
  if (result) memcpy(key, keys[slot & (slots_max - 1)].mask_key, 32);
  pthread_mutex_unlock(&mutex);
  if (!result) return false;
  result = HMAC(EVP_sha256(), key, 32, message, sizeof message, full, &size) != NULL;
  OPENSSL_cleanse(key, sizeof key);
  memcpy(mask, full, 8);
  return result;
}

Place page_place(uint32_t page) {
  Place place = {.size = 5, .bytes = {'p'}};
  write_le32(place.bytes + 1, page);
  return place;
}

/* A frame is bound to its place in the WAL, to the WAL's salts and to its page. */
Place frame_place(const uint8_t *header, const uint8_t *salts, uint64_t offset) {
  Place place = {.size = 21, .bytes = {'w'}};
  memcpy(place.bytes + 1, header, 4); /* page number */
  memcpy(place.bytes + 5, salts, 8);
  write_le64(place.bytes + 13, offset);
  return place;
}
