// The client side of TLS, without a socket.
//
// Takes what came from the network and gives what has to go there, so that Stream sends and receives in one way with and without TLS.
// TLS 1.2 or later; the chain and the name (RFC 6125: subject alternative names only) are always verified.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace boardbus::transport {

struct TlsOptions {
    std::string ca_file;    ///< Empty: the system's store.
    std::string cert_file;  ///< Client certificate; empty: none.
    std::string key_file;   ///< Its key; empty: in cert_file.
};

class TlsClient {
  public:
    /// A session towards `host`, which is the name or address that the certificate must carry.
    /// Errors: refused (a file cannot be read or is not what it should be).
    static Result<std::unique_ptr<TlsClient>> create(const TlsOptions& options, const std::string& host);

    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;
    ~TlsClient();

    /// Takes bytes from the network. They stay inside until handshake() or read() wants them.
    void receive(std::string_view ciphertext);

    /// Goes on with the handshake; true when it is done. Errors: refused, with the verifier's or the other side's reason.
    Result<bool> handshake();

    /// Decrypts into `buffer`; 0: nothing there yet. Errors: closed (by the other side, in order), refused (alert, bad record).
    Result<std::size_t> read(std::span<char> buffer);

    /// Encrypts all of `plaintext`. Errors: refused.
    Result<void> write(std::string_view plaintext);

    /// Moves what has to go to the network to the end of `out`.
    void take_output(std::string& out);

  private:
    struct FreeContext {
        void operator()(SSL_CTX* context) const;
    };
    struct FreeSession {
        void operator()(SSL* session) const;
    };

    TlsClient(std::unique_ptr<SSL_CTX, FreeContext> context, std::unique_ptr<SSL, FreeSession> session);
    Error error(const char* during) const;

    std::unique_ptr<SSL_CTX, FreeContext> context_;
    std::unique_ptr<SSL, FreeSession> session_;
    BIO* incoming_;  // Both belong to session_.
    BIO* outgoing_;
};

}  // namespace boardbus::transport
