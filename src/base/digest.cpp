// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace boardbus {
namespace {

/// One algorithm, ready to hash one text after another.
class Hasher {
  public:
    /// Errors: throws std::runtime_error when OpenSSL does not have it, which is a broken installation.
    explicit Hasher(const char* name) : algorithm_(EVP_MD_fetch(nullptr, name, nullptr)), context_(EVP_MD_CTX_new()) {
        if (!algorithm_ || !context_) {
            throw std::runtime_error(std::string("OpenSSL has no ") + name);
        }
    }

    template <std::size_t Size>
    std::array<std::uint8_t, Size> hash(std::string_view text) {
        std::array<std::uint8_t, Size> bytes{};
        EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr);
        EVP_DigestUpdate(context_.get(), text.data(), text.size());
        EVP_DigestFinal_ex(context_.get(), bytes.data(), nullptr);
        return bytes;
    }

  private:
    struct Free {
        void operator()(EVP_MD* algorithm) const { EVP_MD_free(algorithm); }
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD, Free> algorithm_;
    std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace

std::array<std::uint8_t, 20> sha1(std::string_view text) {
    thread_local Hasher hasher("SHA1");
    return hasher.hash<20>(text);
}

std::array<std::uint8_t, 32> sha256(std::string_view text) {
    thread_local Hasher hasher("SHA256");
    return hasher.hash<32>(text);
}

}  // namespace boardbus
