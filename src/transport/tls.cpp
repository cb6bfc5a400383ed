// SPDX-License-Identifier: Apache-2.0
#include "transport/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cassert>
#include <utility>

#include "transport/resolver.h"

namespace boardbus::transport {
namespace {

std::string last_openssl_error() {
    const unsigned long code = ::ERR_peek_last_error();
    ::ERR_clear_error();
    const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
    return reason == nullptr ? "unknown reason" : reason;
}

std::unexpected<Error> file_error(const char* what, const std::string& path) {
    return fail(Errc::refused, std::string("TLS ") + what + " " + path + ": " + last_openssl_error());
}

Result<void> load_files(SSL_CTX* context, const TlsOptions& options) {
    if (options.ca_file.empty()) {
        ::SSL_CTX_set_default_verify_paths(context);
    } else if (::SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr) != 1) {
        return file_error("CA file", options.ca_file);
    }
    if (!options.cert_file.empty()) {
        const std::string& key = options.key_file.empty() ? options.cert_file : options.key_file;
        if (::SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1) {
            return file_error("certificate file", options.cert_file);
        }
        // Checks, too, that the key belongs to the certificate.
        if (::SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
            return file_error("key file", key);
        }
    }
    return {};
}

}  // namespace

void TlsClient::FreeContext::operator()(SSL_CTX* context) const {
    ::SSL_CTX_free(context);
}
void TlsClient::FreeSession::operator()(SSL* session) const {
    ::SSL_free(session);
}

Result<std::unique_ptr<TlsClient>> TlsClient::create(const TlsOptions& options, const std::string& host) {
    ::ERR_clear_error();
    std::unique_ptr<SSL_CTX, FreeContext> context(::SSL_CTX_new(::TLS_client_method()));
    if (!context) {
        return fail(Errc::refused, "TLS: " + last_openssl_error());
    }
    ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    // Renegotiation would make a write wait for a read.
    ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
    ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (auto loaded = load_files(context.get(), options); !loaded) {
        return std::unexpected(loaded.error());
    }
    std::unique_ptr<SSL, FreeSession> session(::SSL_new(context.get()));
    if (!session) {
        return fail(Errc::refused, "TLS: " + last_openssl_error());
    }
    X509_VERIFY_PARAM* expected = ::SSL_get0_param(session.get());
    ::X509_VERIFY_PARAM_set_hostflags(expected,
                                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    const bool is_address = numeric_address(host, 0).has_value();
    const bool named = is_address ? ::X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1
                                  : ::X509_VERIFY_PARAM_set1_host(expected, host.c_str(), host.size()) == 1 &&
                                        ::SSL_set_tlsext_host_name(session.get(), host.c_str()) == 1;
    if (!named) {
        // Going on would mean a session without a check of the name.
        return fail(Errc::refused, "TLS: " + host + " is no name that a certificate can carry");
    }
    return std::unique_ptr<TlsClient>(new TlsClient(std::move(context), std::move(session)));
}

TlsClient::TlsClient(std::unique_ptr<SSL_CTX, FreeContext> context, std::unique_ptr<SSL, FreeSession> session)
    : context_(std::move(context)),
      session_(std::move(session)),
      incoming_(::BIO_new(::BIO_s_mem())),
      outgoing_(::BIO_new(::BIO_s_mem())) {
    assert(incoming_ != nullptr);
    assert(outgoing_ != nullptr);
    // Empty means "later", not "end".
    BIO_set_mem_eof_return(incoming_, -1);
    ::SSL_set_bio(session_.get(), incoming_, outgoing_);
    ::SSL_set_connect_state(session_.get());
}

TlsClient::~TlsClient() = default;

void TlsClient::receive(std::string_view ciphertext) {
    std::size_t taken = 0;
    ::BIO_write_ex(incoming_, ciphertext.data(), ciphertext.size(), &taken);
    assert(taken == ciphertext.size());
}

Result<bool> TlsClient::handshake() {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(session_.get());
    if (result == 1) {
        return true;
    }
    if (::SSL_get_error(session_.get(), result) == SSL_ERROR_WANT_READ) {
        return false;
    }
    return std::unexpected(error("TLS handshake"));
}

Result<std::size_t> TlsClient::read(std::span<char> buffer) {
    ::ERR_clear_error();
    std::size_t count = 0;
    const int result = ::SSL_read_ex(session_.get(), buffer.data(), buffer.size(), &count);
    if (result == 1) {
        return count;
    }
    switch (::SSL_get_error(session_.get(), result)) {
        case SSL_ERROR_WANT_READ:
            return 0;
        case SSL_ERROR_ZERO_RETURN:
            return fail(Errc::closed, "closed by the other side");
        default:
            return std::unexpected(error("TLS"));
    }
}

Result<void> TlsClient::write(std::string_view plaintext) {
    ::ERR_clear_error();
    std::size_t taken = 0;
    if (!plaintext.empty() && ::SSL_write_ex(session_.get(), plaintext.data(), plaintext.size(), &taken) != 1) {
        return std::unexpected(error("TLS"));
    }
    return {};
}

void TlsClient::take_output(std::string& out) {
    const std::size_t waiting = ::BIO_ctrl_pending(outgoing_);
    const std::size_t before = out.size();
    out.resize(before + waiting);
    std::size_t moved = 0;
    if (waiting > 0) {
        ::BIO_read_ex(outgoing_, out.data() + before, waiting, &moved);
    }
    out.resize(before + moved);
}

Error TlsClient::error(const char* during) const {
    const long verdict = ::SSL_get_verify_result(session_.get());
    std::string text = last_openssl_error();
    if (verdict != X509_V_OK) {
        text = std::string("certificate: ") + ::X509_verify_cert_error_string(verdict);
    }
    return Error{Errc::refused, std::string(during) + ": " + text};
}

}  // namespace boardbus::transport
