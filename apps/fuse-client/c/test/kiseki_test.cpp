// The same library from C++.
#include "kiseki.hpp"

#include <string>

#include "check.h"

int main() {
  kiseki::client first;
  first.write("/cpp", "from C++");
  kiseki::client client(std::move(first));
  const auto content = client.read_all("/cpp");
  CHECK(std::string(content.begin(), content.end()) == "from C++");
  CHECK(client.stat("/cpp") == 8);
  CHECK(client.cache_stats().wipes == 0);
  try {
    client.stat("/missing");
    return 1;
  } catch (const kiseki::error &reason) {
    CHECK(reason.status() == KISEKI_NOT_FOUND && std::string(reason.what()) == "ENOENT");
  }
  client.close();
  return 0;
}
