/* kiseki.h for C++17: a client that closes itself, and exceptions instead of statuses. */
#ifndef KISEKI_HPP
#define KISEKI_HPP

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kiseki.h"

namespace kiseki {

class error : public std::runtime_error {
 public:
  explicit error(kiseki_status status)
      : std::runtime_error(kiseki_last_error()), status_(status) {}
  kiseki_status status() const noexcept { return status_; }

 private:
  kiseki_status status_;
};

inline void check(kiseki_status status) {
  if (status != KISEKI_OK) throw error(status);
}

class client {
 public:
  /* As kiseki_open; an empty seed is none. */
  explicit client(const std::string &seed = "") {
    check(kiseki_open(seed.empty() ? nullptr : seed.c_str(), &client_));
  }
  client(client &&other) noexcept : client_(std::exchange(other.client_, nullptr)) {}
  client &operator=(client &&other) noexcept {
    std::swap(client_, other.client_);
    return *this;
  }
  client(const client &) = delete;
  client &operator=(const client &) = delete;
  ~client() { kiseki_close(client_); }

  /* Throws where what was written last could not be stored; the destructor cannot. */
  void close() { check(kiseki_close(std::exchange(client_, nullptr))); }

  std::size_t read(const std::string &path, std::uint64_t offset, void *buffer, std::size_t size) {
    std::size_t count = 0;
    check(kiseki_read(client_, path.c_str(), offset, buffer, size, &count));
    return count;
  }
  std::vector<char> read_all(const std::string &path) {
    std::vector<char> content(stat(path));
    content.resize(read(path, 0, content.data(), content.size()));
    return content;
  }
  void write(const std::string &path, std::string_view data) {
    std::size_t count = 0;
    check(kiseki_write(client_, path.c_str(), data.data(), data.size(), &count));
  }
  std::uint64_t stat(const std::string &path) {
    std::uint64_t size = 0;
    check(kiseki_stat(client_, path.c_str(), &size));
    return size;
  }
  void stage(const std::string &path, std::uint64_t timeout_ms = 0) {
    check(kiseki_stage(client_, path.c_str(), timeout_ms));
  }
  bool is_staged(const std::string &path) {
    int is_staged = 0;
    check(kiseki_stage_status(client_, path.c_str(), &is_staged));
    return is_staged != 0;
  }
  void release(const std::string &path) { check(kiseki_release(client_, path.c_str())); }
  kiseki_stats cache_stats() {
    kiseki_stats stats{};
    check(kiseki_cache_stats(client_, &stats));
    return stats;
  }

 private:
  kiseki_client *client_ = nullptr;
};

}  // namespace kiseki

#endif
